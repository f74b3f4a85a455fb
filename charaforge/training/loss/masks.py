"""Means of a loss over the part of a picture that a mask shows."""

from __future__ import annotations

from torch import Tensor

_SMALLEST_AREA = 1e-6


def masked_mean(
    distances: Tensor, mask: Tensor | None, *, unmasked_weight: float = 0.0, normalize: bool = False
) -> Tensor:
    """Return the mean loss of each picture: mean(m d) with m = max(mask, unmasked_weight).

    Args:
        distances: (B, C, h, w).
        mask: (B, 1, h, w) of 0 (hidden) to 1 (shown), at the size of the latents; None: all is shown.
        unmasked_weight: of what is hidden, 0 to 1.
        normalize: divide by mean(m), so that a small area counts as much as a large one.

    Returns:
        (B,).
    """
    if mask is None:
        return distances.mean(dim=(1, 2, 3))
    weights = mask.to(distances).clamp(min=unmasked_weight)
    means = (distances * weights).mean(dim=(1, 2, 3))
    return means / weights.mean(dim=(1, 2, 3)).clamp(min=_SMALLEST_AREA) if normalize else means
