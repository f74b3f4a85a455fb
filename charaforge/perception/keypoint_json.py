"""Key points of people from JSON: OpenPose's layouts (18 or 25 points) and COCO's (17).

Accepted are OpenPose's own files (`people[].pose_keypoints_2d`, also in a list, as editors write them), COCO
annotations (`keypoints`, alone, in a list, or under `annotations`), and bare lists of points. Coordinates are
pixels of the canvas that the file names (`canvas_width`, `width`, `images[0]`), or shares of it where none
exceeds 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from charaforge.errors import UsageError
from charaforge.perception.openpose_map import JOINTS

MAX_PEOPLE = 32
MAX_CANVAS = 100_000.0  # pixels along a side
_COCO, _BODY_25 = 17, 25
_FROM_COCO = (0, 17, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)  # 17 = the neck, put at the end
_FROM_BODY_25 = (0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18)
_SHOULDERS = (5, 6)
_HINT = "give OpenPose's people[].pose_keypoints_2d (18 or 25 points) or COCO's keypoints (17 points)"


@dataclass(frozen=True)
class People:
    """Key points and what they are measured in.

    Attributes:
        points: float32 (P, 18, 3), OpenPose order: x, y in pixels of `size`, and the score.
        size: (width, height) of the canvas.
    """

    points: npt.NDArray[np.float32]
    size: tuple[float, float]


def read_people(value: Any, default_size: tuple[int, int]) -> People:
    """Return the people in a parsed JSON value.

    Args:
        value: what the JSON holds.
        default_size: (width, height) of the canvas where the file names none; it grows to hold every point.

    Raises:
        UsageError: there are no people in it, their key points are of no known layout, or the canvas that it
            names has no size.
    """
    people = [_person(numbers) for numbers in _people(value)]
    if not 0 < len(people) <= MAX_PEOPLE:
        raise UsageError(f"the key points hold {len(people)} people, 1 to {MAX_PEOPLE} are taken", _HINT)
    points = np.stack(people)
    seen = points[points[..., 2] > 0][:, :2]
    if not len(seen):
        raise UsageError("no key point has a score above 0", _HINT)
    named = _canvas(value)
    if seen.min() >= 0 and seen.max() <= 1:
        size = named or default_size
        points[..., :2] *= np.asarray(size, np.float32)
        return People(points, size)
    return People(points, named or _grown(default_size, seen))


def _people(value: Any) -> Iterator[Any]:
    """Yield what holds the numbers of each person."""
    if isinstance(value, dict):
        for key in ("people", "annotations"):
            if isinstance(value.get(key), list):
                yield from _people(value[key])
                return
        for key in ("pose_keypoints_2d", "keypoints"):
            if value.get(key) is not None:
                yield value[key]
                return
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for one in value:
            yield from _people(one)
    elif isinstance(value, list) and value:
        depth = np.ndim(_numbers(value))
        yield from value if depth == 3 else [value]


def _person(value: Any) -> npt.NDArray[np.float32]:
    """Return the points of one person in OpenPose order, (18, 3)."""
    numbers = _numbers(value)
    if numbers.ndim == 1 and numbers.size % 3 == 0:
        numbers = numbers.reshape(-1, 3)
    if numbers.ndim == 2 and numbers.shape[1] == 2:
        numbers = np.concatenate([numbers, np.ones((len(numbers), 1), np.float32)], 1)
    if numbers.ndim != 2 or numbers.shape[1] != 3 or len(numbers) not in (_COCO, JOINTS, _BODY_25):
        raise UsageError(f"key points of the shape {list(numbers.shape)} are of no known layout", _HINT)
    if len(numbers) == _BODY_25:
        return np.ascontiguousarray(numbers[list(_FROM_BODY_25)])
    if len(numbers) == _COCO:
        return _from_coco(numbers)
    return numbers


def _from_coco(points: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return 17 COCO points as 18; a COCO visibility (0, 1, 2) becomes a score, the neck is put in."""
    points = points.copy()
    points[:, 2] = points[:, 2].clip(0, 1)
    shoulders = points[list(_SHOULDERS)]
    neck = np.concatenate([shoulders[:, :2].mean(0), shoulders[:, 2].min(keepdims=True)])
    return np.ascontiguousarray(np.concatenate([points, neck[None]])[list(_FROM_COCO)])


def _numbers(value: Any) -> npt.NDArray[np.float32]:
    try:
        with np.errstate(over="ignore"):  # too large for float32 becomes infinity, refused below
            numbers = np.asarray(value, np.float32)
    except (TypeError, ValueError, OverflowError):
        raise UsageError("the key points are not lists of numbers", _HINT) from None
    if not np.isfinite(numbers).all():
        raise UsageError("the key points hold values that are no numbers", _HINT)
    return numbers


def _canvas(value: Any) -> tuple[float, float] | None:
    """Return the size of the canvas that the file names."""
    holders = value if isinstance(value, list) else [value]
    for holder in holders[:1]:
        if not isinstance(holder, dict):
            return None
        images = holder.get("images")
        told = images[0] if isinstance(images, list) and images and isinstance(images[0], dict) else holder
        for width, height in (("canvas_width", "canvas_height"), ("width", "height")):
            across, down = told.get(width), told.get(height)
            if across is not None or down is not None:
                return _side(width, across), _side(height, down)
    return None


def _side(name: str, value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= MAX_CANVAS:
        return float(value)
    raise UsageError(
        f"the canvas of the key points has {name} {str(value)[:40]!r}",
        f"give {name} in pixels, more than 0 and at most {MAX_CANVAS:g}, or leave it out with its other side",
    )


def _grown(size: tuple[int, int], seen: npt.NDArray[np.float32]) -> tuple[float, float]:
    return max(float(size[0]), float(seen[:, 0].max())), max(float(size[1]), float(seen[:, 1].max()))
