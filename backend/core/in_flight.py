"""Names that somebody is just submitting something under: a second submission has to wait."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from backend.core.problems import ProblemError, plain_problem

RETRY_AFTER_S = 2


class InFlight:
    """The names of one process."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._lock = threading.Lock()

    @contextmanager
    def holding(self, name: str) -> Iterator[None]:
        """Hold a name within the block; "" holds nothing.

        Raises:
            ProblemError: 409, somebody else holds it.
        """
        with self._lock:
            if name and name in self._names:
                told = "the same is just being submitted; ask again"
                raise ProblemError(plain_problem(409, told, "in-flight"), {"Retry-After": str(RETRY_AFTER_S)})
            self._names.add(name)
        try:
            yield
        finally:
            with self._lock:
                self._names.discard(name)
