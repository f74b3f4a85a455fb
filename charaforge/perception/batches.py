"""Groups of bounded size, so that a thousand pictures never lie in memory as floats at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import onnxruntime as ort

Item = TypeVar("Item")

BATCH = 32


def batches(items: Sequence[Item], size: int = BATCH) -> Iterator[Sequence[Item]]:
    """Consecutive slices of at most ``size`` items."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def run_padded(
    session: ort.InferenceSession,
    outputs: list[str],
    inputs: Mapping[str, npt.NDArray[np.float32]],
    batch: int | None,
) -> list[Any]:
    """Run a model; one whose first axis has a fixed size gets its groups filled up with zeros.

    Args:
        session: the model.
        outputs: names of what is wanted.
        inputs: arrays of N rows each.
        batch: rows that the model takes at once; None: any number.

    Returns:
        One array of N rows for each output.
    """
    rows = len(next(iter(inputs.values())))
    if batch is None or batch == rows:
        return list(session.run(outputs, dict(inputs)))
    parts: list[list[Any]] = []
    for start in range(0, rows, batch):
        taken = {name: _filled(value[start : start + batch], batch) for name, value in inputs.items()}
        parts.append(session.run(outputs, taken))
    return [np.concatenate(column)[:rows] for column in zip(*parts, strict=True)]


def _filled(rows: npt.NDArray[np.float32], batch: int) -> npt.NDArray[np.float32]:
    missing = batch - len(rows)
    return np.concatenate([rows, np.zeros((missing, *rows.shape[1:]), rows.dtype)]) if missing else rows
