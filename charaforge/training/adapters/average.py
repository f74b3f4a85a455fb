"""The running mean of an adapter's weights, which is often better than the last ones.

    a <- d a + (1 - d) w,   d = min(decay, (1 + n) / (10 + n))   (Izmailov et al. 2018)

after the n-th step: the growing d keeps the first, poor weights from staying in the mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

_COUNT = "ema_steps"
_PREFIX = "ema."


class Average:
    """The running mean of named weights.

    Args:
        names: of the weights.
        weights: their present values; the mean begins with them.
        decay: share of the mean that stays in a step, at most.
    """

    def __init__(self, names: Sequence[str], weights: Sequence[Tensor], decay: float) -> None:
        self._names = list(names)
        self._weights = list(weights)
        self._decay = decay
        self._steps = 0
        self.values = [weight.detach().clone() for weight in weights]

    @torch.no_grad()
    def follow(self) -> None:
        """Take the weights of a further step into the mean."""
        self._steps += 1
        decay = min(self._decay, (1 + self._steps) / (10 + self._steps))
        torch._foreach_lerp_(self.values, [w.detach() for w in self._weights], 1.0 - decay)

    def state(self) -> Iterator[tuple[str, Tensor]]:
        """Yield what has to be saved so that it goes on as if it had never stopped."""
        yield _COUNT, torch.tensor(self._steps)
        for name, value in zip(self._names, self.values, strict=True):
            yield f"{_PREFIX}{name}", value.cpu().clone()

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take what `state` yielded."""
        self._steps = int(state[_COUNT])
        for name, value in zip(self._names, self.values, strict=True):
            value.copy_(state[f"{_PREFIX}{name}"])
