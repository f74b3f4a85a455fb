"""The training loop of the small nets: bfloat16 with float32 master weights, one cosine, exact resume.

Every batch is drawn from a generator seeded by (seed, step), so a continued run sees the same batches.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from charaforge.logs import get_logger
from charaforge.mini.recipes.bf16 import MasterWeights, training_dtype
from charaforge.mini.recipes.convnet import cast_for_training
from charaforge.warehouse.atomic import replacing

_log = get_logger(__name__)
_REPORT_SECONDS = 15.0
_SAVE_SECONDS = 60.0

LossOfBatch = Callable[[np.random.Generator, torch.dtype], Tensor]
"""Draws a batch with this generator, casts it to this dtype, and returns its scalar loss."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How one net is trained.

    Attributes:
        steps: Optimiser steps in total.
        batch: Pictures per step (for the log only; the loss function draws them).
        rate: Peak learning rate of AdamW; linear warm-up over 2 %, then a cosine down to 1 % of it.
        decay: Weight decay on tensors with two or more axes.
        clip: Largest global gradient norm.
    """

    steps: int
    batch: int
    rate: float = 2e-3
    decay: float = 0.02
    clip: float = 5.0

    def rate_at(self, step: int) -> float:
        """Learning rate of a 0-based step."""
        warm = max(1, self.steps // 50)
        if step < warm:
            return self.rate * (step + 1) / warm
        done = (step - warm) / max(1, self.steps - warm)
        return self.rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


class Trainer:
    """Trains one module in place; the state lies in ``checkpoint`` and is found again there."""

    def __init__(self, model: nn.Module, plan: Plan, checkpoint: Path, seed: int) -> None:
        """Cast the model for training and continue from ``checkpoint`` if it exists."""
        self.model, self.plan, self.checkpoint, self.seed = model, plan, checkpoint, seed
        self.dtype = training_dtype()
        self.weights = MasterWeights([model], ema_decay=0.0)
        cast_for_training(model, self.dtype)
        matrices = [p for p in self.weights.master if p.ndim > 1]
        vectors = [p for p in self.weights.master if p.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": plan.decay}, {"params": vectors, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=plan.rate, betas=(0.9, 0.99), foreach=True)
        self.step = 0
        if checkpoint.exists():
            self._load()

    def fit(self, loss_of_batch: LossOfBatch, milestone: Callable[[int], None] | None = None) -> float:
        """Run to the end of the plan.

        ``milestone(step)`` is called after each checkpoint, with the model left in training mode.

        Returns:
            The mean loss of the last tenth of the steps.
        """
        self.model.train()
        losses: list[float] = []
        began = reported = saved = time.monotonic()
        first = self.step
        while self.step < self.plan.steps:
            losses.append(self._one_step(loss_of_batch))
            now = time.monotonic()
            if now - reported > _REPORT_SECONDS or self.step == first + 5:
                reported = now
                self._report((self.step - first) / (now - began), losses)
            if now - saved > _SAVE_SECONDS:
                self._save()
                saved = now
                if milestone:
                    milestone(self.step)
        self._save()
        return float(np.mean(losses[-max(1, self.plan.steps // 10) :])) if losses else math.nan

    def _one_step(self, loss_of_batch: LossOfBatch) -> float:
        loss = loss_of_batch(np.random.default_rng((self.seed, self.step)), self.dtype)
        loss.backward()
        self.weights.gather_gradients(self.plan.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.rate_at(self.step)
        self.optimizer.step()
        self.weights.publish(self.step)
        self.step += 1
        return float(loss.detach())

    def _report(self, rate: float, losses: list[float]) -> None:
        left = (self.plan.steps - self.step) / rate
        recent = float(np.mean(losses[-50:]))
        pictures = rate * self.plan.batch
        _log.info(
            "%s: step %d/%d, loss %.4f, %.0f pictures/s, %d:%02d left",
            self.checkpoint.stem,
            self.step,
            self.plan.steps,
            recent,
            pictures,
            left // 60,
            left % 60,
        )

    def _save(self) -> None:
        tensors = {k: v.contiguous() for k, v in self.weights.state().items() if k.startswith("master")}
        tensors |= {f"buffer.{k}": v.contiguous() for k, v in self.model.named_buffers()}
        for i, parameter in enumerate(self.weights.master):
            for key in ("exp_avg", "exp_avg_sq"):
                if parameter in self.optimizer.state:
                    tensors[f"{key}.{i}"] = self.optimizer.state[parameter][key].contiguous()
        tensors["step"] = torch.tensor(self.step)
        with replacing(self.checkpoint) as partial:
            save_file(tensors, partial)

    @torch.no_grad()
    def _load(self) -> None:
        tensors = load_file(self.checkpoint)
        self.step = int(tensors["step"])
        for i, (live, master) in enumerate(zip(self.model.parameters(), self.weights.master, strict=True)):
            master.copy_(tensors[f"master.{i}"])
            live.copy_(master)
            if f"exp_avg.{i}" in tensors:
                self.optimizer.state[master] = {
                    "step": torch.tensor(float(self.step)),
                    "exp_avg": tensors[f"exp_avg.{i}"],
                    "exp_avg_sq": tensors[f"exp_avg_sq.{i}"],
                }
        for name, buffer in self.model.named_buffers():
            buffer.copy_(tensors[f"buffer.{name}"])
        _log.info("%s: continuing at step %d", self.checkpoint.stem, self.step)

    @torch.no_grad()
    def finished(self, fresh: nn.Module) -> nn.Module:
        """Copy the float32 master weights and buffers into an untouched module of the same structure."""
        for target, master in zip(fresh.parameters(), self.weights.master, strict=True):
            target.copy_(master)
        for buffer, live in zip(fresh.buffers(), self.model.buffers(), strict=True):
            buffer.copy_(live)
        return fresh.eval()
