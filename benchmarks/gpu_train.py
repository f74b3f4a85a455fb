"""Peak memory and speed of training at the real sizes of SD1.5 and SDXL, on a GPU, with random weights.

    python benchmarks/gpu_train.py [--family sd15 | sdxl] [--side 1024] [--batches 1,4,8] [--low]

For each batch: the peak that the allocator reserved, seconds per step, pictures per second, and the share of
the device's bf16 peak that the model's own operations make up (MFU): those of one forward and one backward
pass without weight gradients of the base; what checkpointing computes again does not count. Random weights
take the same time and memory as trained ones. `--low` is the 8 GB configuration: NF4 base, checkpointing,
batch 1. Exit code 4 when a bar is missed, 3 without a GPU.

Bars: SDXL rank 16, 1024 px, batch 1, --low: at most 6.5 GB; MFU at least 40 % at batch 4 and above.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from torch.utils.flop_counter import FlopCounterMode

from charaforge.diffusion.model_configs import kept_configs
from charaforge.diffusion.noise import NoiseSchedule
from charaforge.errors import ExitCode
from charaforge.training.arrangement import finish, kept_activations, place
from charaforge.training.conditions import Condition
from charaforge.training.config import TrainingConfig
from charaforge.training.loss import Objective
from charaforge.training.network import Adapter
from charaforge.training.optimizer import build_optimizer

LOW_BAR_GB = 6.5
MFU_BAR = 0.40
PEAK_TFLOPS = {"H200": 989, "H100": 989, "A100": 312, "4090": 165, "3090": 71, "3060": 25.5}
"""Dense bf16 peaks by a part of the device's name."""


@dataclass
class Run:
    """A UNet with an adapter and its optimiser, and what it is fed with."""

    unet: UNet2DConditionModel
    adapter: Adapter
    optimizer: torch.optim.Optimizer
    objective: Objective
    config: TrainingConfig
    side: int

    def step(self, number: int) -> None:
        """Make one step of the optimiser."""
        batch, device = self.config.train_batch_size, self.unet.device
        clean = torch.zeros(batch, 4, self.side // 8, self.side // 8, device=device)
        times = torch.arange(batch) * 100 + 50
        places = [(number, place) for place in range(batch)]
        with kept_activations(self.config, device):
            losses = self.objective.losses(self.unet, clean, times, self.words(batch), places)
        losses.mean().backward()
        self.adapter.gather_gradients()
        self.optimizer.step()
        self.adapter.publish()
        self.adapter.clear_gradients()

    def words(self, batch: int) -> Condition:
        """Return text states of the right shape."""
        device, told = self.unet.device, self.unet.config
        states = torch.zeros(batch, 77, told.cross_attention_dim, device=device)
        if told.get("addition_embed_type") != "text_time":
            return Condition(states)
        ids = torch.tensor([[self.side, self.side, 0, 0, self.side, self.side]] * batch, dtype=torch.float32)
        return Condition(states, None, torch.zeros(batch, 1280, device=device), ids)


def main() -> int:
    """Measure, print, compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--family", choices=("sd15", "sdxl"), default="sdxl")
    parser.add_argument("--side", type=int, help="px; default: 512 for sd15, 1024 for sdxl")
    parser.add_argument("--batches", default="1,4,8")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--low", action="store_true", help="the 8 GB configuration, batch 1")
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--compile", action="store_true", help="compile_blocks")
    args = parser.parse_args()
    if not torch.cuda.is_available():
        print("no CUDA device: nothing was measured", file=sys.stderr)
        return ExitCode.NOT_MEASURABLE
    args.side = args.side or {"sd15": 512, "sdxl": 1024}[args.family]
    batches = [1] if args.low else [int(text) for text in args.batches.split(",")]
    print(f"{torch.cuda.get_device_name()}, {args.family} {args.side} px, rank {args.rank}")
    passed = [measured(args, batch) for batch in batches]
    return ExitCode.PASS if all(passed) else ExitCode.FAILED


def measured(args: argparse.Namespace, batch: int) -> bool:
    """Measure one batch and print a line; return whether the bars are passed."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    run = built(args, batch)
    for number in range(3):
        run.step(number)
    torch.cuda.synchronize()
    start = time.perf_counter()
    for number in range(args.steps):
        run.step(number)
    torch.cuda.synchronize()
    seconds = (time.perf_counter() - start) / args.steps
    gigabytes = torch.cuda.max_memory_reserved() / 1e9
    share = operations(run) / seconds / (peak_tflops() * 1e12) if peak_tflops() else float("nan")
    within_memory = not args.low or args.family != "sdxl" or gigabytes <= LOW_BAR_GB
    within_share = args.low or batch < 4 or not share < MFU_BAR
    verdict = "ok" if within_memory and within_share else "FAILED"
    print(
        f"batch {batch}: {gigabytes:.2f} GB reserved, {seconds * 1000:.0f} ms per step, "
        f"{batch / seconds:.2f} pictures/s, MFU {share:.1%}  {verdict}"
    )
    return verdict == "ok"


def built(args: argparse.Namespace, batch: int) -> Run:
    """Return a model of the real size with random weights and its adapter, on the GPU."""
    settings = {
        "train_data_dir": Path(tempfile.gettempdir()),
        "output_dir": Path(tempfile.gettempdir()) / "gpu_train",
        "rank": args.rank,
        "train_batch_size": batch,
        "optimizer": "adamw8bit",
        "mixed_precision": "bf16",
        "gradient_checkpointing": args.low or args.checkpointing,
        "base_precision": "nf4" if args.low else "auto",
        "compile_blocks": args.compile,
    }
    config, device = TrainingConfig.model_validate(settings), torch.device("cuda")
    configs = kept_configs(args.family)
    unet = UNet2DConditionModel.from_config(dict(configs.unet)).requires_grad_(False)
    place(unet, config, torch.bfloat16, device)
    adapter = Adapter(unet, [], config, torch.bfloat16)
    finish(unet, config, checkpointing=bool(config.gradient_checkpointing))
    groups = [{"params": group.weights, "lr": 1e-4} for group in adapter.groups()]
    schedule = NoiseSchedule.from_config(configs.scheduler)
    optimizer = build_optimizer("adamw8bit", groups, config)
    return Run(unet, adapter, optimizer, Objective(config, schedule), config, args.side)


@torch.no_grad()
def operations(run: Run) -> float:
    """Return the operations that a step needs: forward, and backward to the inputs of every layer."""
    batch = run.config.train_batch_size
    noisy = torch.zeros(batch, 4, run.side // 8, run.side // 8, device=run.unet.device, dtype=torch.bfloat16)
    told = run.words(batch).arguments(run.unet.device, torch.bfloat16)
    with FlopCounterMode(display=False) as counter:
        run.unet(noisy, torch.zeros(batch, device=noisy.device), **told)
    attention = sum(
        count for name, count in counter.get_flop_counts()["Global"].items() if "attention" in str(name)
    )
    return 2.0 * counter.get_total_flops() + attention


def peak_tflops() -> float:
    """Return the device's dense bf16 peak; 0 where it is not known."""
    name = torch.cuda.get_device_name()
    return next((float(value) for part, value in PEAK_TFLOPS.items() if part in name), 0.0)


if __name__ == "__main__":
    sys.exit(main())
