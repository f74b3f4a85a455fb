"""What a training of a diffusion model tells while it runs."""

import time

import numpy as np
from torch import Tensor

from charaforge.logs import get_logger

_LOG = get_logger(__name__)
_EVERY = 200


class Trace:
    """Logs mean loss, loss by quarter of the time steps, rate and ETA every 200 steps."""

    def __init__(self, name: str, first: int, steps: int, batch: int) -> None:
        """Begin at step ``first`` of ``steps``, each of ``batch`` samples."""
        self._name, self._first, self._steps, self._batch = name, first, steps, batch
        self._started = time.monotonic()
        self._sums, self._counts = np.zeros(4), np.zeros(4)
        self.last = float("nan")

    def add(self, step: int, timesteps: Tensor, losses: Tensor) -> None:
        """Take note of one step: its time steps (B,) and losses (B,)."""
        quarter = (timesteps // 250).numpy()
        np.add.at(self._sums, quarter, losses.numpy())
        np.add.at(self._counts, quarter, 1)
        self.last = float(self._sums.sum() / self._counts.sum())
        if step % _EVERY and step != self._first + 5:
            return
        rate = (step - self._first) / (time.monotonic() - self._started)
        _LOG.info(
            "%s step %d/%d (%d k samples) loss %.4f by quarter %s %.1f samples/s ETA %.0f min",
            self._name,
            step,
            self._steps,
            step * self._batch // 1000,
            self.last,
            np.round(self._sums / np.maximum(self._counts, 1), 3).tolist(),
            rate * self._batch,
            (self._steps - step) / rate / 60,
        )
        self._sums[:], self._counts[:] = 0, 0
