"""What the UNet is told beside the noisy latents: captions, and SDXL's pooled states and sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from charaforge.diffusion.added_conditions import PictureSize
from charaforge.diffusion.prompts import Conditioning


@dataclass(frozen=True)
class Condition:
    """The conditions of B pictures.

    Attributes:
        states: (B, L, D) text-encoder states.
        shown: (B, L) bool, what of them is attended to; None where all captions have L tokens. A short
            caption beside a longer one is therefore trained exactly as it would be alone.
        pooled: (B, P) of SDXL's second text encoder; None for SD1.x.
        time_ids: (B, 6) float32 of SDXL: original height and width, top and left of the cut, height and
            width; None for SD1.x.
    """

    states: Tensor
    shown: Tensor | None = None
    pooled: Tensor | None = None
    time_ids: Tensor | None = None

    def arguments(self, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
        """Return the UNet's named arguments, in the place and format it computes in."""
        told: dict[str, Any] = {"encoder_hidden_states": self.states.to(device, dtype, non_blocking=True)}
        if self.shown is not None:
            told["encoder_attention_mask"] = self.shown.to(device)
        if self.pooled is not None and self.time_ids is not None:
            told["added_cond_kwargs"] = {
                "text_embeds": self.pooled.to(device, dtype),
                "time_ids": self.time_ids.to(device),
            }
        return told

    def repeated(self, count: int) -> Condition:
        """Return the condition of one picture for `count` equal ones."""
        parts = (self.states, self.shown, self.pooled, self.time_ids)
        return Condition(*(None if p is None else p.expand(count, *p.shape[1:]) for p in parts))  # type: ignore[arg-type]


def condition(texts: Sequence[Conditioning], sizes: Sequence[PictureSize]) -> Condition:
    """Join the captions and sizes of B pictures.

    Args:
        texts: encoded captions, of any number of windows.
        sizes: of the pictures; they count for SDXL only.
    """
    states, shown = _side_by_side([text.states for text in texts])
    pooled = [text.pooled for text in texts if text.pooled is not None]
    if not pooled:
        return Condition(states, shown)
    time_ids = torch.tensor([size.time_ids for size in sizes], dtype=torch.float32)
    return Condition(states, shown, torch.cat(pooled), time_ids)


def _side_by_side(states: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
    """Return (1, L_i, D) as (B, L, D) filled with zeros, and what of it was there if lengths differ."""
    lengths = [one.shape[1] for one in states]
    longest = max(lengths)
    if min(lengths) == longest:
        return torch.cat(list(states)), None
    filled = [torch.nn.functional.pad(one, (0, 0, 0, longest - one.shape[1])) for one in states]
    shown = torch.arange(longest)[None] < torch.tensor(lengths)[:, None]
    return torch.cat(filled), shown
