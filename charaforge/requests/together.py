"""What of a request has to be equal for pictures to be rendered together, and how many are.

A picture's bytes do not depend on its neighbours in a batch, nor on where it stands, but they do on the
batch's size (by about 1e-6 before rounding, measured on CPU). So there are two sizes only: 8 where it pays,
else 1.

Pictures fit together that ask for the same but for their words, seeds and pictures: the noise, the map of a
ControlNet, the picture to start from and the reference differ freely within a batch, their strengths do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FULL = 8
WORTH_PADDING = 4
SIZES = (1, FULL)
_PER_PICTURE = ("prompt", "negative", "seed", "wildcard_seed")


def shared_part(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return all of a request that has to be equal within a batch.

    Args:
        plain: a `GenerationRequest` as JSON values, see its `plain`.
    """
    shared = {key: value for key, value in plain.items() if key not in _PER_PICTURE}
    if shared["variation"]:
        shared["variation"] = _without(shared["variation"], "seed")
    if shared["controls"]:
        shared["controls"] = [_without(control, "image", "keypoints") for control in shared["controls"]]
    if shared["references"]:
        shared["references"] = [_reference(reference) for reference in shared["references"]]
    init = shared["init"]
    if init:
        shared["init"] = {**_without(init, "image", "mask"), "masked": init["mask"] is not None}
    return shared


def chosen_size(count: int) -> int:
    """Return the size of the micro-batches that up to 8 pictures which fit together are rendered in."""
    return FULL if count >= WORTH_PADDING else 1


def _without(value: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: inner for key, inner in value.items() if key not in keys}


def _reference(reference: Mapping[str, Any]) -> dict[str, Any]:
    return _without(reference, "face_ref", "style_ref")
