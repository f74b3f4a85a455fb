"""What SDXL's UNet is told beside the text: pooled states, and sizes of the picture (Podell et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from charaforge.diffusion.bundle import Bundle


@dataclass(frozen=True)
class PictureSize:
    """The sizes that SDXL was trained to be told, in pixels.

    Attributes:
        width: of the picture; also stands for the original's width unless `original` is given.
        height: likewise.
        original: width and height before training's scaling; small ones give blurred pictures.
        crop: left and top of what was cut off; (0, 0) keeps the subject in the middle.
    """

    width: int
    height: int
    original: tuple[int, int] | None = None
    crop: tuple[int, int] = (0, 0)

    @property
    def time_ids(self) -> tuple[int, ...]:
        """The six numbers in the UNet's order: original h, w; crop top, left; target h, w."""
        wide, high = self.original or (self.width, self.height)
        left, top = self.crop
        return (high, wide, top, left, self.height, self.width)


def added_conditions(bundle: Bundle, pooled: Tensor | None, size: PictureSize) -> dict[str, Tensor]:
    """Return `added_cond_kwargs` of the UNet.

    Args:
        bundle: the model.
        pooled: (N, D) pooled states of the last text encoder, for SDXL.
        size: of the pictures.

    Returns:
        `text_embeds` (N, D) and `time_ids` (N, 6) for SDXL; nothing for SD1.x.

    Raises:
        ValueError: SDXL without pooled states.
    """
    if bundle.family == "sd15":
        return {}
    if pooled is None:
        raise ValueError("SDXL needs the pooled states of its second text encoder")
    ids = torch.tensor([size.time_ids], device=bundle.device, dtype=bundle.dtype)
    return {"text_embeds": pooled.to(bundle.device, bundle.dtype), "time_ids": ids.repeat(len(pooled), 1)}
