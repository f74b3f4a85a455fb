"""Which number format a run computes in, and what fp16 needs to be trained in."""

from __future__ import annotations

from dataclasses import dataclass

import torch

_DTYPES = {"no": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
_NAMES = {torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16"}


def compute_dtype(asked: str, device: torch.device) -> tuple[torch.dtype, str]:
    """Choose the format of the frozen base and of the adapter while it computes.

    The adapter's own weights and the optimiser are float32 in every case.

    Args:
        asked: "auto", "no", "fp16" or "bf16".
        device: where it is computed.

    Returns:
        The format, and a warning: "" unless what was asked for is not done.
    """
    on_gpu = device.type == "cuda"
    if asked == "auto":
        fast = torch.cuda.is_bf16_supported() if on_gpu else torch.cpu._is_amx_tile_supported()
        return (torch.bfloat16 if fast else torch.float32), ""
    if asked != "no" and not on_gpu:
        return torch.float32, f"mixed_precision: {asked} needs a GPU; this run computes in fp32"
    return _DTYPES[asked], ""


def kept_format(asked: str, dtype: torch.dtype) -> str:
    """Return the format in which the frozen UNet is kept; "" where that is the one it computes in.

    Args:
        asked: `base_precision` of the configuration.
        dtype: what it computes in.
    """
    return "" if asked in ("auto", dtype_name(dtype)) else asked


def dtype_name(dtype: torch.dtype) -> str:
    """Return "fp32", "fp16" or "bf16"."""
    return _NAMES[dtype]


@dataclass
class LossScale:
    """The factor that keeps fp16 gradients above zero (Micikevicius et al. 2018, "Mixed precision training").

    It doubles after `PATIENCE` good steps and halves, the step being skipped, when a gradient is not finite.

    Attributes:
        value: the factor.
        good_steps: steps since it last changed.
    """

    PATIENCE = 2000

    value: float = 1.0
    good_steps: int = 0

    @classmethod
    def for_dtype(cls, dtype: torch.dtype) -> LossScale | None:
        """Return the scale to begin with, None for formats that need no scaling."""
        return cls(2.0**16) if dtype == torch.float16 else None

    def update(self, finite: bool) -> None:
        """Take note of whether the step's gradients were finite."""
        self.good_steps = self.good_steps + 1 if finite else 0
        if not finite:
            self.value /= 2.0
        elif self.good_steps >= self.PATIENCE:
            self.value, self.good_steps = self.value * 2.0, 0
