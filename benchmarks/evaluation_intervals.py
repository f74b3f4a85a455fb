"""How intervals and the choice of checkpoints fare in simulated studies; the tables of docs/benchmarks.md.

    python benchmarks/evaluation_intervals.py

A study is 40 or 100 prompts × 4 seeds, beta-binomial: pictures of one prompt are correlated. A run is eight
checkpoints whose true shares rise and fall again, screened on 40 × 1 pictures and measured on 40 × 4. Where
references are drawn too, studies are made of embeddings.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from charaforge.evaluation.choice import best_few, earliest_within
from charaforge.evaluation.statistics import shares
from tests.evaluation.studies import beta_studies, coupled_accepts, true_curves
from tests.evaluation.worlds import World, missed

TRUTHS = (0.5, 0.8, 0.85, 0.9, 0.95, 0.98)
CORRELATIONS = (0.1, 0.4)
SEEDS = 4
WORLDS = (
    (0.4, 0.3, 0.8, 0.6),
    (0.5, 0.3, 0.6, 0.8),
    (0.5, 0.2, 0.4, 0.6),
    (0.7, 0.3, 0.6, 0.6),
    (1.0, 0.5, 0.5, 0.6),
    (1.0, 0.2, 0.5, 0.5),
)
"""How far apart real pictures, LoRA and character, prompts, and pictures of one prompt lie."""


def intervals(studies: int) -> list[str]:
    """Rows: lower bound above the truth, and coverage, per cell."""
    lines = ["| prompts, correlation | " + " | ".join(f"{truth:g}" for truth in TRUTHS) + " |"]
    lines.append("|---|" + "---|" * len(TRUTHS))
    for prompts in (40, 100):
        for correlation in CORRELATIONS:
            cells = []
            for truth in TRUTHS:
                rng = np.random.default_rng([int(truth * 100), int(correlation * 10), prompts])
                found = shares(beta_studies(rng, studies, prompts, SEEDS, truth, correlation))
                above = (found.low > truth).mean()
                covered = ((found.low <= truth) & (truth <= found.high)).mean()
                cells.append(f"{100 * above:.1f} % ({covered:.3f})")
            lines.append(f"| {prompts}, {correlation:g} | " + " | ".join(cells) + " |")
    return lines


def choice(runs: int) -> list[str]:
    """Rows: how near the chosen checkpoint is to the best, and how far numbers are off, per correlation."""
    lines = [
        "| correlation | chosen within .03 of the best | mean regret | bias of the screening's maximum "
        "| bias of the best of 40 × 4 | bias of the fresh number |",
        "|---|---|---|---|---|---|",
    ]
    every = np.arange(runs)
    for correlation in (0.1, 0.3):
        rng = np.random.default_rng([7, int(10 * correlation)])
        truths = true_curves(rng, runs)
        accepts = coupled_accepts(rng, truths, 40, SEEDS, correlation, coupling=0.7)
        screened, close = accepts[..., 0].mean(axis=2), accepts.mean(axis=(2, 3))
        chosen = earliest_within(close, best_few(screened, np.ones(truths.shape, bool)))
        regret = truths.max(axis=1) - truths[every, chosen]
        found = truths[every, chosen]
        fresh = coupled_accepts(rng, found[:, None], 40, SEEDS, correlation, coupling=0.7).mean(
            axis=(1, 2, 3)
        )
        naive, best = screened.argmax(axis=1), close.argmax(axis=1)
        biases = (
            (screened[every, naive] - truths[every, naive]).mean(),
            (close[every, best] - truths[every, best]).mean(),
            (fresh - found).mean(),
        )
        told = " | ".join(f"{bias:+.3f}" for bias in biases)
        lines.append(f"| {correlation:g} | {(regret <= 0.03).mean():.3f} | {regret.mean():.3f} | {told} |")
    return lines


def references(studies: int) -> list[str]:
    """Rows: the lower bound where eight references are drawn anew for every study, per world."""
    lines = [
        "| true rate | strays with the references by | mean lower bound | above the truth "
        "| above, as if the references were the only ones |",
        "|---|---|---|---|---|",
    ]
    for world in WORLDS:
        found = missed(World(*world), studies)
        lines.append(
            f"| {found.truth:.3f} | {found.deviation:.3f} | {found.bound:.3f} | {100 * found.above:.1f} % "
            f"| {100 * found.blind:.1f} % |"
        )
    return lines


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=2000, help="per cell [default: 2000]")
    arguments = parser.parse_args()
    print("\n".join([*intervals(arguments.studies), "", *choice(arguments.studies)]))
    print("\n".join(["", *references(arguments.studies // 4)]))


if __name__ == "__main__":
    main()
