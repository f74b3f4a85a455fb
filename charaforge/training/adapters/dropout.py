"""Dropouts of adapters, as in kohya's and LyCORIS' networks, decided by (seed, layer, step, position) alone.

    network_dropout   values between down and up                (LoRA)
    rank_dropout      whole ranks of a LoRA; outputs of a LoHa's or LoKr's change
    module_dropout    whole layers, not made up for

What remains of the first two is scaled by 1 / (1 - p). Each picture draws for itself, so that neither its
neighbours nor the number of processes matter, and what is computed a second time by gradient checkpointing
drops the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from peft.tuners.lora.layer import LoraLayer
from torch import Tensor, nn

from charaforge.training.adapters.layers import ADAPTER
from charaforge.training.adapters.targets import Target
from charaforge.training.config import TrainingConfig
from charaforge.training.randomness import derived_seed


class Dropout:
    """All dropouts of one adapter; nothing drops unless `during` says for which pictures.

    Args:
        config: shares and seed.
    """

    def __init__(self, config: TrainingConfig) -> None:
        self._shares = _Shares(config.network_dropout, config.rank_dropout, config.module_dropout)
        self._seed = config.seed
        self._pictures: tuple[tuple[int, int], ...] = ()

    @contextmanager
    def during(self, pictures: Sequence[tuple[int, int]]) -> Iterator[None]:
        """Let values drop in the passes of these pictures, forwards and backwards.

        Args:
            pictures: (step, position in the step) of each, in the order of the batch.
        """
        self._pictures = tuple(pictures)
        try:
            yield
        finally:
            self._pictures = ()

    def watch(self, layer: nn.Module, target: Target) -> None:
        """Let values of a layer drop; `layer` is peft's."""
        if not any((self._shares.values, self._shares.ranks, self._shares.layers)):
            return
        if isinstance(layer, LoraLayer):
            self._watch_low_rank(layer, target)
            return
        told: Any = layer
        plain = told._get_delta_activations

        def dropped(adapter: str, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            change: Tensor = plain(adapter, x, *args, **kwargs)
            return self._thinned(change, target, spatial=isinstance(told.get_base_layer(), nn.Conv2d))

        told._get_delta_activations = dropped

    def _watch_low_rank(self, layer: Any, target: Target) -> None:
        down = layer.lora_A[ADAPTER]
        aside = _Switch()

        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            if aside.on:
                return output
            return self._thinned(output, target, spatial=isinstance(module, nn.Conv2d))

        down.register_forward_hook(hook)
        if ADAPTER in layer.lora_magnitude_vector:
            dora = layer.lora_magnitude_vector[ADAPTER]
            dora.get_lora_weight = aside.around(dora.get_lora_weight)

    def _thinned(self, values: Tensor, target: Target, *, spatial: bool) -> Tensor:
        """Return values (B, …, channels), or (B, channels, H, W), with what drops set to zero."""
        if not self._pictures:
            return values
        axis = 1 if spatial else values.ndim - 1
        rows = max(1, len(values) // len(self._pictures))  # a text encoder has several for a long caption
        masks = [self._mask(values[row], target, *divmod(row, rows), axis - 1) for row in range(len(values))]
        return values * torch.stack(masks).to(values.dtype)

    def _mask(self, one: Tensor, target: Target, picture: int, row: int, axis: int) -> Tensor:
        step, position = self._pictures[min(picture, len(self._pictures) - 1)]
        seed = derived_seed(self._seed, "dropout", target.part, target.path, step, position, row)
        draw = torch.Generator(one.device).manual_seed(seed)
        ranks = [1] * one.ndim
        ranks[axis] = one.shape[axis]
        mask = _kept((1,) * one.ndim, self._shares.layers, draw, made_up=False)
        mask = mask * _kept(tuple(ranks), self._shares.ranks, draw)
        return mask * _kept(tuple(one.shape), self._shares.values, draw)


@dataclass(frozen=True)
class _Shares:
    values: float
    ranks: float
    layers: float


class _Switch:
    """Is on while a function runs that `around` wrapped: DoRA applies `down` to find the weight's length."""

    def __init__(self) -> None:
        self.on = False

    def around(self, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def wrapped(*args: Any, **kwargs: Any) -> Tensor:
            self.on = True
            try:
                return function(*args, **kwargs)
            finally:
                self.on = False

        return wrapped


def _kept(shape: tuple[int, ...], share: float, draw: torch.Generator, *, made_up: bool = True) -> Tensor:
    """Return a mask that is 0 in a share of its places, else 1, or what makes up for the zeros."""
    device = draw.device
    if share == 0.0:
        return torch.ones((1,) * len(shape), device=device)
    stays = torch.rand(shape, generator=draw, device=device) >= share
    return stays.float() / (1.0 - share) if made_up else stays.float()
