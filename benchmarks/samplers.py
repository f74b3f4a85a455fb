"""Does every sampler on offer obey words as well as DDIM does? mini-sd's pictures, judged by mini-tagger.

The same held-out prompts and seeds for every sampler, at 10, 25 and 30 steps. A sampler fails whose mean
obedience lies more than 0.03 below that of DDIM at as many steps.

    python benchmarks/samplers.py [--model mini-sd] [--prompts 32] [--steps 10,25,30] [--only NAME,NAME]

Prints one line per sampler and number of steps; exit code 4 when one fails.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch

from charaforge.errors import ExitCode
from charaforge.generation.generator import Generator
from charaforge.mini.measure.base import GUIDANCE, held_out_scenes, judge
from charaforge.mini.scenes import Scene, scene_tags
from charaforge.perception.wd14 import WD14Tagger
from charaforge.requests.generation import GenerationRequest
from charaforge.requests.samplers import SAMPLERS
from charaforge.warehouse.bootstrap import bootstrap
from charaforge.warehouse.registry import Registry

MARGIN = 0.03
REFERENCE = "ddim"


def obedience(
    generator: Generator, tagger: WD14Tagger, scenes: list[Scene], model: str, sampler: str, steps: int
) -> float:
    """Return the mean share of attributes that the pictures show as their prompts say."""
    requests = [
        GenerationRequest(
            prompt=", ".join(scene_tags(scene)),
            model=model,
            width=128,
            height=128,
            steps=steps,
            seed=seed,
            scheduler=sampler,
            guidance=GUIDANCE,
        )
        for seed, scene in enumerate(scenes)
    ]
    pictures = [made.image for made in generator.generate_many(requests)]
    return judge(tagger, pictures, scenes)["mean"]


def main() -> int:
    """Measure, print, compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="mini-sd")
    parser.add_argument("--prompts", type=int, default=32)
    parser.add_argument("--steps", default="10,25,30")
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    torch.set_num_threads(1)
    warehouse = bootstrap()
    tagger = WD14Tagger(Path(Registry(warehouse).get("mini-tagger", "tagger").path))
    generator, scenes = Generator(warehouse), held_out_scenes(args.prompts)
    chosen = [name for name in args.only.split(",") if name] or [sampler.name for sampler in SAMPLERS]
    failed = 0
    for steps in (int(number) for number in args.steps.split(",")):
        bar = obedience(generator, tagger, scenes, args.model, REFERENCE, steps) - MARGIN
        for name in chosen:
            start = time.monotonic()
            found = obedience(generator, tagger, scenes, args.model, name, steps)
            verdict = "ok" if found >= bar else "FAILED"
            failed += found < bar
            took = time.monotonic() - start
            told = f"{steps:3} steps  {name:24} {found:.3f}  bar {bar:.3f}  {took:5.1f} s  {verdict}"
            print(told, flush=True)
    return ExitCode.FAILED if failed else ExitCode.PASS


if __name__ == "__main__":
    sys.exit(main())
