"""Less memory, step by step: what is done when it runs out, or from the start where there is little.

    0  nothing
    1  the VAE works in tiles (its seams change pixels a little)
    2  text encoders, VAE and UNet are on the device only while each is at work
    3  pictures are rendered one by one
    4  attention in slices: last, for it is the slowest

Each rung holds those before it. The rung is written into the sidecar, and `reproduce` begins on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers.models.attention_processor import AttnProcessor2_0
from torch import nn

from charaforge.diffusion.bundle import Bundle
from charaforge.errors import GenerationError
from charaforge.logs import get_logger

logger = get_logger(__name__)

TILES, OFFLOAD, SINGLES, SLICES = 1, 2, 3, 4
_WORDS = ("", "VAE in tiles", "parts off the device when idle", "pictures one by one", "sliced attention")
_VAE_BYTES_PER_PIXEL = 6 * 1024  # of a VAE's decoder at its widest, half precision, measured by its shapes
_LOW_BYTES = 2 * 2**30


class MemoryLadder:
    """The rung that a generator stands on; it only goes up.

    Args:
        rung: where to begin.
    """

    def __init__(self, rung: int = 0) -> None:
        self.rung = rung

    def climb(self, error: BaseException) -> None:
        """Go one rung up.

        Raises:
            GenerationError: this was the last one.
        """
        if self.rung >= SLICES:
            raise GenerationError(
                f"memory ran out although everything was done to save it: {error}",
                "ask for a smaller picture, or use a smaller model",
            ) from error
        self.rung += 1
        logger.warning("out of memory; from now on: %s", _WORDS[self.rung])
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def ran_out(error: BaseException) -> bool:
    """Return whether an error says that memory ran out, on any device."""
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
    )


def first_place(device: torch.device, size: int) -> torch.device:
    """Return where weights of `size` bytes are put first: where they work, if there is room."""
    if device.type == "cuda" and torch.cuda.mem_get_info(device)[0] < size + _LOW_BYTES:
        return torch.device("cpu")
    return device


def starting_rung(bundle: Bundle, width: int, height: int) -> int:
    """Return the rung that the free memory calls for, for pictures of this size in pixels."""
    if bundle.device.type != "cuda":
        return 0
    away = [one for one in _modules(bundle) if _place(one).type != "cuda"]
    free, _ = torch.cuda.mem_get_info(bundle.device)
    left = free - sum(weight.nbytes for one in away for weight in one.parameters())
    if left < _LOW_BYTES:
        return OFFLOAD
    return TILES if left < _VAE_BYTES_PER_PIXEL * width * height else 0


def apply_rung(bundle: Bundle, rung: int) -> None:
    """Set a bundle to a rung, up or down."""
    vae: Any = bundle.vae
    (vae.enable_tiling if rung >= TILES else vae.disable_tiling)()
    if rung < OFFLOAD:
        for module in _modules(bundle):
            _bring(module, bundle.device)
    if rung >= SLICES:
        bundle.unet.set_attention_slice("max")
    elif any("Sliced" in type(one).__name__ for one in bundle.unet.attn_processors.values()):
        bundle.unet.set_attn_processor(AttnProcessor2_0())


@contextmanager
def only(bundle: Bundle, part: str, rung: int) -> Iterator[None]:
    """Have only one part of a bundle on its device within the block, from the rung OFFLOAD on.

    Args:
        bundle: the model.
        part: "unet", "vae" or "text_encoders".
        rung: on lower ones nothing is moved.
    """
    if rung >= OFFLOAD:
        working = bundle.text_encoders if part == "text_encoders" else (getattr(bundle, part),)
        for module in _modules(bundle):
            if not any(module is one for one in working):
                _bring(module, torch.device("cpu"))
        for module in working:
            _bring(module, bundle.device)
    yield


def _modules(bundle: Bundle) -> tuple[nn.Module, ...]:
    return (bundle.unet, bundle.vae, *bundle.text_encoders)


def _place(module: nn.Module) -> torch.device:
    return next(module.parameters()).device


def _bring(module: nn.Module, device: torch.device) -> None:
    if _place(module) != device:
        module.to(device)
