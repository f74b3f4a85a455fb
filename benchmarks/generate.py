"""Our engine beside the plain diffusers pipeline: the same model, steps and sampler, alternating in one run.

    python benchmarks/generate.py [--model mini-sd] [--steps 20] [--rounds 7]

Prints medians of seconds per picture and their ratios: one picture at a time, and a micro-batch of 8 requests
with different prompts and seeds against the pipeline called 8 times. Peak memory is measured in two processes
of their own, one per engine (`--peak`). Exit code 4 when a bar is missed.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from charaforge.diffusion.samplers import make_scheduler
from charaforge.errors import ExitCode
from charaforge.generation.generator import Generator
from charaforge.requests.generation import GenerationRequest
from charaforge.warehouse.bootstrap import bootstrap
from charaforge.warehouse.registry import Registry

SINGLE_BAR = 1.05  # ours / theirs, at most
BATCH_BAR = 1.7  # throughput, ours / theirs, at least
MEMORY_BAR = 1.10
SAMPLER = "dpmpp_2m"
GUIDANCE = 5.0
BATCH = 8
HAIR = ("blue", "red", "green", "black", "white", "brown", "pink", "purple")
PROMPTS = [f"1girl, {hair} hair, smile" for hair in HAIR]


class Ours:
    """The engine."""

    def __init__(self, model: str, side: int, steps: int) -> None:
        self._generator = Generator(bootstrap())
        self._told = {"model": model, "width": side, "height": side, "steps": steps, "guidance": GUIDANCE}

    def render(self, prompts: list[str]) -> None:
        """Render one picture per prompt, together."""
        requests = [
            GenerationRequest.model_validate({**self._told, "prompt": p, "seed": n, "scheduler": SAMPLER})
            for n, p in enumerate(prompts)
        ]
        assert len(list(self._generator.generate_many(requests))) == len(prompts)


class Theirs:
    """The pipeline of diffusers."""

    def __init__(self, model: str, side: int, steps: int) -> None:
        from diffusers import DiffusionPipeline

        folder = Registry(bootstrap()).get(model, "base").path
        self._pipe = DiffusionPipeline.from_pretrained(
            folder, local_files_only=True, torch_dtype=torch.float32
        )
        self._pipe.set_progress_bar_config(disable=True)
        self._side, self._steps = side, steps
        self._config = dict(self._pipe.scheduler.config)

    def render(self, prompts: list[str]) -> None:
        """Render one picture per prompt, one after the other."""
        for number, prompt in enumerate(prompts):
            self._pipe.scheduler = make_scheduler(SAMPLER, self._config, self._steps)
            self._pipe(
                prompt,
                width=self._side,
                height=self._side,
                num_inference_steps=self._steps,
                guidance_scale=GUIDANCE,
                generator=torch.Generator().manual_seed(number),
            )


def main() -> int:
    """Measure, print, compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="mini-sd")
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--peak", choices=("ours", "theirs"), help="render once and print the peak in MiB")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.peak:
        engine = (Ours if args.peak == "ours" else Theirs)(args.model, args.side, args.steps)
        engine.render(PROMPTS[:1])
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return ExitCode.PASS
    ours, theirs = (kind(args.model, args.side, args.steps) for kind in (Ours, Theirs))
    single = alternate(lambda: ours.render(PROMPTS[:1]), lambda: theirs.render(PROMPTS[:1]), args.rounds)
    eight = alternate(lambda: ours.render(PROMPTS), lambda: theirs.render(PROMPTS), max(3, args.rounds // 2))
    memory = peak("ours", args), peak("theirs", args)
    passed = [
        tell("one picture, s", *single, single[0] / single[1] <= SINGLE_BAR, f"<= {SINGLE_BAR}"),
        tell(
            "of a micro-batch of 8, s each",
            eight[0] / BATCH,
            eight[1] / BATCH,
            eight[1] / eight[0] >= BATCH_BAR,
            f"<= 1 / {BATCH_BAR}",
        ),
        tell("peak memory, MiB", *memory, memory[0] / memory[1] <= MEMORY_BAR, f"<= {MEMORY_BAR}"),
    ]
    return ExitCode.PASS if all(passed) else ExitCode.FAILED


def alternate(ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int) -> tuple[float, float]:
    """Return the median seconds of both, called in turn after one round to warm up."""
    taken: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for place, call in enumerate((ours, theirs)):
            start = time.perf_counter()
            call()
            if number:
                taken[place].append(time.perf_counter() - start)
    return statistics.median(taken[0]), statistics.median(taken[1])


def peak(kind: str, args: argparse.Namespace) -> float:
    """Return the peak memory in MiB of a process that renders one picture."""
    told = [f"--{name}={getattr(args, name)}" for name in ("model", "side", "steps", "threads")]
    command = [sys.executable, str(Path(__file__)), f"--peak={kind}", *told]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def tell(what: str, ours: float, theirs: float, passed: bool, bar: str) -> bool:
    """Print one line; return whether the bar is passed."""
    verdict = "ok" if passed else "FAILED"
    print(f"{what:32} ours {ours:8.3f}  plain {theirs:8.3f}  ratio {ours / theirs:.3f}  {bar}  {verdict}")
    return passed


if __name__ == "__main__":
    sys.exit(main())
