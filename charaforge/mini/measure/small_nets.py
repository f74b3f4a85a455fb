"""Measure one of the mini family's small nets and hold it against its bars.

    python -m charaforge.mini.measure.small_nets mini-tagger
    python -m charaforge.mini.measure.small_nets mini-identity --vae FOLDER --record

``--record`` writes the figures into the model's card and model card.
"""

import argparse
import importlib
import sys
from collections.abc import Mapping
from pathlib import Path

from charaforge.mini.measure.bars import Bar, missed
from charaforge.mini.model_card import write_model_card
from charaforge.mini.recipes.export import renew_card

MODULES = {
    "mini-tagger": "tagger",
    "mini-identity": "identity",
    "mini-signature-judge": "judge",
    "mini-pose": "pose",
    "mini-upscaler": "upscaler",
}
_NEED_BANKS = ("mini-tagger", "mini-pose")


def bars_of(name: str) -> Mapping[str, Bar]:
    """The bars of one net, by figure."""
    bars: Mapping[str, Bar] = importlib.import_module(f"charaforge.mini.measure.{MODULES[name]}").BARS
    return bars


def measure(name: str, folder: Path, work: Path, vae: Path | None = None) -> dict[str, float]:
    """Run one net's measurement.

    Args:
        name: A key of ``MODULES``.
        folder: The model's folder.
        work: Where banks of test pictures lie or are rendered.
        vae: AutoencoderKL folder; without it the figures on reconstructions are left out.

    Returns:
        The figures.
    """
    module = importlib.import_module(f"charaforge.mini.measure.{MODULES[name]}")
    where = (folder, work) if name in _NEED_BANKS else (folder,)
    figures: dict[str, float] = module.measure(*where, vae=vae)
    return figures


def record(folder: Path, figures: Mapping[str, float]) -> None:
    """Write figures and the files' sums into ``card.json``, and write ``MODEL_CARD.md`` anew."""
    card = renew_card(folder, measured={name: round(value, 4) for name, value in figures.items()})
    write_model_card(folder, {name: str(bar) for name, bar in bars_of(card["name"]).items()})


def main() -> int:
    """Print the figures, then the bars that are missed; 4 where there are any."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=tuple(MODULES))
    weights = Path(__file__).parents[1] / "weights"
    parser.add_argument("--folder", type=Path, help="the model [default: the embedded one]")
    parser.add_argument("--work", type=Path, default=Path("work"), help="banks of test pictures")
    parser.add_argument("--vae", type=Path, default=None, help="an AutoencoderKL folder")
    parser.add_argument("--record", action="store_true", help="write the figures into the model's cards")
    arguments = parser.parse_args()
    folder = arguments.folder or weights / arguments.name
    figures = measure(arguments.name, folder, arguments.work, arguments.vae)
    for name, value in figures.items():
        sys.stdout.write(f"{name:28} {value:8.4f}\n")
    faults = missed(figures, bars_of(arguments.name))
    sys.stdout.write("".join(f"MISSED {line}\n" for line in faults) or "all bars are met\n")
    if arguments.record:
        record(folder, figures)
    return 4 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
