"""One step of our trainer beside one of a plain peft + diffusers loop: same model, pictures, settings, noise.

    python benchmarks/train_step.py [--model mini-sd | sd15] [--side 128] [--batch 2] [--steps 20]

`sd15` is the real architecture of SD1.5 with random weights; use --side 256 --batch 1. All loops alternate
within one run, so that whatever else the machine does falls on all of them:

    ours              caches, fast layers, fused optimiser
    ours, off         the same without fast layers
    plain, caches     latents and text states computed once
    plain             encodes its pictures and captions in every step, as the examples of diffusers do

Printed are medians, and ratios with the 95 % interval of the median over the rounds. Peak memory is measured
in processes of their own, from loading to the third step. Exit code 4 when a bar is missed.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from peft import LoraConfig
from PIL import Image
from transformers import CLIPTextModel, CLIPTokenizer

from charaforge.diffusion.model_configs import kept_configs
from charaforge.errors import ExitCode
from charaforge.training.cache import TensorCache
from charaforge.training.checkpoint import RunState
from charaforge.training.config import TrainingConfig
from charaforge.training.loop import take_step
from charaforge.training.run import prepare
from charaforge.training.setup import Setup, build
from charaforge.warehouse.bootstrap import bootstrap
from charaforge.warehouse.registry import Registry

BARS = {"plain": 0.70, "plain, caches": 0.97, "off": 1.03, "fp32": 0.90, "bf16": 0.60}
PICTURES = 8
RANK = 16


def main() -> int:
    """Measure, print, compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="mini-sd", help="a base's name, or sd15 for the real architecture")
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--work", type=Path, help="where the model with random weights is kept")
    parser.add_argument("--peak", choices=("fp32", "bf16", "plain"), help="print the peak in MiB and end")
    parser.add_argument("--no-memory", action="store_true", help="measure time only")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as temporary:
        args.work = args.work or Path(temporary)
        folder = base_folder(args)
        if args.peak:
            print(peak_of(args, folder))
            return ExitCode.PASS
        passed = times(args, folder)
        if not args.no_memory:
            passed &= memory(args)
    return ExitCode.PASS if passed else ExitCode.FAILED


def times(args: argparse.Namespace, folder: Path) -> bool:
    """Measure and print the times; return whether the bars are passed."""
    ours, off = our_setup(args, folder, fast=True), our_setup(args, folder, fast=False)
    plain = Plain(args, folder, ours)
    loops: dict[str, Callable[[int], Any]] = {
        "ours": lambda n: take_step(ours, RunState(step=n)),
        "ours, off": lambda n: take_step(off, RunState(step=n)),
        "plain, caches": lambda n: plain.step(n, cached=True),
        "plain": lambda n: plain.step(n, cached=False),
    }
    taken = alternate(loops, args.steps)
    for name, seconds in taken.items():
        print(f"{name:16} {np.median(seconds) * 1000:9.1f} ms per step")
    return all(
        [
            tell("ours / plain", taken["ours"], taken["plain"], BARS["plain"]),
            tell("ours / plain, caches", taken["ours"], taken["plain, caches"], BARS["plain, caches"]),
            tell("off / plain, caches", taken["ours, off"], taken["plain, caches"], BARS["off"]),
        ]
    )


def memory(args: argparse.Namespace) -> bool:
    """Measure and print the peaks; return whether the bars are passed."""
    found = {}
    for kind in ("plain", "fp32", "bf16"):
        told = [f"--{name}={getattr(args, name)}" for name in ("model", "side", "batch", "threads", "work")]
        command = [sys.executable, str(Path(__file__)), f"--peak={kind}", *told]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found[kind] = float(done.stdout.split()[-1])
    passed = True
    for kind in ("fp32", "bf16"):
        ratio, bar = found[kind] / found["plain"], BARS[kind]
        passed &= ratio <= bar
        print(
            f"peak, base in {kind}: {found[kind]:7.0f} MiB, plain {found['plain']:7.0f} MiB, "
            f"ratio {ratio:.3f} <= {bar} {'ok' if ratio <= bar else 'FAILED'}"
        )
    return passed


def peak_of(args: argparse.Namespace, folder: Path) -> float:
    """Return the peak memory, MiB, of loading and three steps in this process."""
    if args.peak == "plain":
        plain = Plain(args, folder, None)
        for number in range(3):
            plain.step(number, cached=False)
    else:
        setup = our_setup(args, folder, fast=True, base_precision="auto" if args.peak == "fp32" else "bf16")
        for number in range(3):
            take_step(setup, RunState(step=number))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def our_setup(args: argparse.Namespace, folder: Path, *, fast: bool, base_precision: str = "auto") -> Setup:
    """Return the parts of a run of ours."""
    config = TrainingConfig.model_validate(
        {
            "model_id": str(folder),
            "train_data_dir": pictures(args.work, args.side),
            "output_dir": args.work / "out",
            "character": "zxq",
            "resolution": args.side,
            "buckets": False,
            "rank": RANK,
            "learning_rate": 1e-4,
            "optimizer": "adamw",
            "train_batch_size": args.batch,
            "mixed_precision": "no",
            "base_precision": base_precision,
            "caption_dropout": 0.0,
            "caption_variants": 1,
            "validation_share": 0.0,
            "fast_layers": fast,
        }
    )
    return build(prepare(config, bootstrap()), TensorCache(args.work / "cache"))


class Plain:
    """The loop that one writes with peft and diffusers: LoRA on the same layers, AdamW, one loss.

    Args:
        args: sizes.
        folder: of the base.
        ours: its layers are trained here too; None for those that `attention_mlp` names.
    """

    def __init__(self, args: argparse.Namespace, folder: Path, ours: Setup | None) -> None:
        self._unet = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32)
        self._vae = AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=torch.float32)
        self._text = CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32)
        self._tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
        self._schedule = DDPMScheduler.from_pretrained(folder / "scheduler")
        for module in (self._unet, self._vae, self._text):
            module.requires_grad_(False)
        if ours is not None:
            share_weights(self._unet, ours.unet)
        kinds = (torch.nn.Linear, torch.nn.Conv2d)
        modules = [p for p, m in self._unet.named_modules() if isinstance(m, kinds) and "attentions" in p]
        self._unet.add_adapter(LoraConfig(r=RANK, lora_alpha=RANK // 2, target_modules=modules))
        self._weights = [p for p in self._unet.parameters() if p.requires_grad]
        self._optimizer = torch.optim.AdamW(self._weights, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.01)
        self._files = sorted(pictures(args.work, args.side).glob("*.png"))
        self._batch = args.batch
        self._cache: dict[Path, tuple[torch.Tensor, torch.Tensor]] = {}

    def step(self, number: int, *, cached: bool) -> None:
        """Make one step of the optimiser."""
        places = [(number * self._batch + n) % len(self._files) for n in range(self._batch)]
        pairs = [self._materials(self._files[place], cached) for place in places]
        latents, states = (torch.cat(parts) for parts in zip(*pairs, strict=True))
        noise = torch.randn_like(latents)
        times = torch.randint(0, 1000, (self._batch,))
        noisy = self._schedule.add_noise(latents, noise, times)
        predicted = self._unet(noisy, times, states).sample
        v_prediction = self._schedule.config.prediction_type == "v_prediction"
        target = self._schedule.get_velocity(latents, noise, times) if v_prediction else noise
        torch.nn.functional.mse_loss(predicted, target).backward()
        torch.nn.utils.clip_grad_norm_(self._weights, 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad()

    @torch.no_grad()
    def _materials(self, file: Path, cached: bool) -> tuple[torch.Tensor, torch.Tensor]:
        if cached and file in self._cache:
            return self._cache[file]
        pixels = torch.from_numpy(np.array(Image.open(file).convert("RGB"), dtype=np.float32))
        pixels = pixels.permute(2, 0, 1)[None] / 127.5 - 1.0
        latents = self._vae.encode(pixels).latent_dist.sample() * self._vae.config.scaling_factor
        words = file.with_suffix(".txt").read_text(encoding="utf-8")
        ids = self._tokenizer(
            words, padding="max_length", max_length=77, truncation=True, return_tensors="pt"
        ).input_ids
        self._cache[file] = latents, self._text(ids).last_hidden_state
        return self._cache[file]


def share_weights(copy: torch.nn.Module, original: torch.nn.Module) -> None:
    """Let a model's frozen weights be those of another, which has an adapter already: memory for one."""
    held = {name.replace(".base_layer", ""): value for name, value in original.named_parameters()}
    for name, parameter in copy.named_parameters():
        parameter.data = held[name].data


def alternate(loops: dict[str, Callable[[int], Any]], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each loop in each round, after two rounds to warm up; the order turns."""
    taken: dict[str, list[float]] = {name: [] for name in loops}
    names = list(loops)
    for number in range(rounds + 2):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            start = time.perf_counter()
            loops[name](number)
            if number >= 2:
                taken[name].append(time.perf_counter() - start)
    return taken


def tell(what: str, ours: Sequence[float], theirs: Sequence[float], bar: float) -> bool:
    """Print the median of the rounds' ratios with its 95 % interval; return whether it is within the bar."""
    ratios = np.array(ours) / np.array(theirs)
    chance = np.random.default_rng(0)
    drawn = np.median(chance.choice(ratios, (4000, len(ratios))), axis=1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    middle = float(np.median(ratios))
    print(
        f"{what:22} {middle:.3f} [{low:.3f}, {high:.3f}] over {len(ratios)} rounds, <= {bar}  "
        f"{'ok' if middle <= bar else 'FAILED'}"
    )
    return middle <= bar


def pictures(work: Path, side: int) -> Path:
    """Return a folder of pictures of noise with captions, made where it is missing."""
    folder = work / f"pictures-{side}"
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(PICTURES):
        file = folder / f"{number}.png"
        if not file.is_file():
            pixels = np.random.default_rng(number).integers(0, 255, (side, side, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(file)
            file.with_suffix(".txt").write_text(f"zxq, girl, blue hair, smile {number}", encoding="utf-8")
    return folder


def base_folder(args: argparse.Namespace) -> Path:
    """Return the folder of the base; one of the real architecture is made with random weights."""
    if args.model != "sd15":
        return Registry(bootstrap()).get(args.model, "base").path
    folder: Path = args.work / "sd15"
    if not (folder / "model_index.json").is_file():
        write_random(folder)
    return folder


def write_random(folder: Path) -> None:
    """Write SD1.5's real architecture with random weights, as a pipeline folder in float32."""
    from transformers import CLIPTextConfig

    torch.manual_seed(0)
    configs = kept_configs("sd15")
    UNet2DConditionModel.from_config(dict(configs.unet)).save_pretrained(folder / "unet")
    AutoencoderKL.from_config(dict(configs.vae)).save_pretrained(folder / "vae")
    CLIPTextModel(CLIPTextConfig(**configs.text_encoders[0])).save_pretrained(folder / "text_encoder")
    configs.tokenizers[0].save_pretrained(folder / "tokenizer")
    DDPMScheduler.from_config(dict(configs.scheduler)).save_pretrained(folder / "scheduler")
    (folder / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}', encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
