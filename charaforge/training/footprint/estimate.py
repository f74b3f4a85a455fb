"""The memory of a run as a sum, and the batch that fits into what there is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch

from charaforge.diffusion.bundle import Bundle
from charaforge.training.config import TrainingConfig
from charaforge.training.footprint.counting import optimizer_bytes
from charaforge.training.footprint.dry_run import Kept, Shadow, dry_run, shadow

RUNTIME_BYTES = 600 * 2**20
"""What CUDA's context and libraries take on a GPU, and their workspaces: a constant, not computed."""
FRAGMENTED_SHARE = 0.05
"""Share of the activations that an allocator loses between blocks."""
_GIB = 2**30


@dataclass(frozen=True)
class Footprint:
    """Bytes that a run needs on its device.

    Attributes:
        weights: of the frozen base.
        adapter: trained weights, in float32 and in the format they compute in.
        gradients: theirs, float32.
        optimizer: the optimiser's state.
        saved: what autograd keeps from the forward to the backward pass.
        activations: the most that is alive at one time of both passes, `saved` within.
        latents: of all pictures.
        runtime: see `RUNTIME_BYTES`, and what is lost between blocks; 0 on a CPU.
    """

    weights: int
    adapter: int
    gradients: int
    optimizer: int
    saved: int
    activations: int
    latents: int
    runtime: int

    @property
    def total(self) -> int:
        """All of it."""
        kept = self.weights + self.adapter + self.gradients + self.optimizer
        return kept + self.activations + self.latents + self.runtime

    def lines(self) -> Iterator[str]:
        """Yield what takes how much, in GiB, one line each."""
        named = (
            ("weights", self.weights),
            ("adapter and gradients", self.adapter + self.gradients),
            ("optimiser", self.optimizer),
            ("activations", self.activations),
            ("latents", self.latents),
            ("runtime", self.runtime),
        )
        yield from (f"{size / _GIB:7.2f} GiB  {name}" for name, size in named if size)


class Estimator:
    """Computes the footprint of one run for any batch.

    Args:
        bundle: the base; only its shapes count.
        config: adapter and optimiser.
        dtype: format that the base computes in.
        optimizer: its name.
        size: (width, height) of the largest pictures, px.
        pictures: pixels of all views of all pictures, whose latents are kept.
        on_gpu: whether the runtime of a GPU comes on top.
    """

    def __init__(
        self,
        bundle: Bundle,
        config: TrainingConfig,
        dtype: torch.dtype,
        optimizer: str,
        size: tuple[int, int],
        pictures: int = 0,
        on_gpu: bool = True,
    ) -> None:
        self._bundle = bundle
        self._config = config
        self._dtype = dtype
        self._optimizer = optimizer
        self._size = size
        self._pixels = pictures
        self._on_gpu = on_gpu
        self._measured: dict[tuple[int, bool], Kept] = {}

    def footprint(self, batch: int, *, checkpointing: bool) -> Footprint:
        """Return what a run needs.

        Args:
            batch: pictures of a pass.
            checkpointing: whether activations are computed a second time instead of kept.
        """
        kept = self._kept(batch, checkpointing)
        saved = 0 if self._config.activation_offload else kept.saved
        activations = saved + kept.peak - kept.saved
        runtime = RUNTIME_BYTES + int(FRAGMENTED_SHARE * activations) if self._on_gpu else 0
        live, masters = self._trained
        factor = self._bundle.latent_factor
        return Footprint(
            weights=self._shadow.weights,
            adapter=live + masters,
            gradients=4 * self._shadow.adapter.size,
            optimizer=self._state,
            saved=saved,
            activations=activations,
            latents=4 * self._bundle.latent_channels * self._pixels // factor**2,
            runtime=runtime,
        )

    def largest_batch(self, available: int, *, checkpointing: bool) -> int:
        """Return the largest batch that fits into `available` bytes; 0 where none does."""
        one, two = (self.footprint(n, checkpointing=checkpointing).total for n in (1, 2))
        return max((available - one) // max(two - one, 1) + 1, 0)

    def needs_checkpointing(self, available: int, batch: int) -> bool:
        """Return whether the batch fits into `available` bytes only if activations are not kept."""
        return self.footprint(batch, checkpointing=False).total > available

    @cached_property
    def _shadow(self) -> Shadow:
        return shadow(self._bundle.unet.config, self._bundle.text_encoders, self._config, self._dtype)

    @cached_property
    def _trained(self) -> tuple[int, int]:
        """Return the adapter's bytes in the format it computes in, and in float32 where that is another."""
        count = self._shadow.adapter.size
        apart = 0 if self._dtype == torch.float32 else 4 * count
        return count * self._dtype.itemsize, apart

    @cached_property
    def _state(self) -> int:
        shapes = [w.shape for group in self._shadow.adapter.groups() for w in group.weights]
        return optimizer_bytes(self._optimizer, shapes, self._config)

    def _kept(self, batch: int, checkpointing: bool) -> Kept:
        """Return what a batch keeps: as many times what one picture keeps.

        DoRA, LoHa and LoKr also keep what they compute of weights, once for a whole batch; there a second
        dry run tells the two apart.
        """
        one = self._dry(1, checkpointing)
        if self._config.network_type == "lora" and not self._config.use_dora:
            return Kept(one.saved * batch, one.peak * batch)
        two = self._dry(2, checkpointing)
        more = batch - 1
        return Kept(one.saved + more * (two.saved - one.saved), one.peak + more * max(two.peak - one.peak, 0))

    def _dry(self, batch: int, checkpointing: bool) -> Kept:
        if (batch, checkpointing) not in self._measured:
            factor = self._bundle.latent_factor
            width, height = (side // factor for side in self._size)
            shape = (batch, int(self._bundle.unet.config["in_channels"]), height, width)
            tokens = 77 * (self._config.max_token_length // 75)
            found = dry_run(self._shadow, shape, tokens, checkpointing=checkpointing)
            self._measured[batch, checkpointing] = found
        return self._measured[batch, checkpointing]
