"""What the store asks of whoever renders; it knows neither models nor torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

OnStep = Callable[[int, int], None]
"""Called now and then with (steps done, steps in all); what it raises stops the work."""


class Picture(Protocol):
    """A picture that was rendered and is not yet a file."""

    def png(self) -> bytes:
        """Return the PNG; called once, in another thread than rendering."""

    def facts(self) -> Mapping[str, Any]:
        """Return what the sidecar shall say about it, as JSON values."""

    def weights(self) -> Mapping[str, str]:
        """Return the models that it was made with, as people know them -> sha256 of their weights."""


class Renderer(Protocol):
    """Renders requests; used by one thread at a time."""

    def render(
        self, requests: Sequence[Mapping[str, Any]], size: int, rung: int | None, on_step: OnStep
    ) -> Iterator[Picture]:
        """Render requests that fit together and yield their pictures in order, each as soon as it is there.

        Args:
            requests: one picture each, as JSON values of `GenerationRequest`.
            size: of the micro-batch they are rendered in, whatever their number.
            rung: of the memory ladder to begin on; None = as memory allows.
            on_step: told of progress.

        Raises:
            CharaForgeError: a request cannot be done, now or ever.
        """
