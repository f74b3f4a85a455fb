"""Renderers for the processes that the tests start: they write down what they render (`JOB_RENDERER`)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from backend.jobs.models import ModelRenderer
from backend.jobs.pattern import PatternRenderer
from charaforge.jobstore.rendering import OnStep, Picture, Renderer
from charaforge.warehouse.layout import Warehouse

LOG, MILLISECONDS = "COUNTED_IN", "COUNTED_MS"


class Counting:
    """Patterns, each of them counted when it is finished.

    A prompt that says `end the worker` does so; `no room` finds the disk full once.
    """

    def __init__(self, warehouse: Warehouse) -> None:
        self._log = Path(os.environ[LOG])
        self._inner = self.renderer(warehouse)

    def renderer(self, warehouse: Warehouse) -> Renderer:
        return PatternRenderer(float(os.environ.get(MILLISECONDS, "0")) / 1000)

    def render(
        self, requests: Sequence[Mapping[str, Any]], size: int, rung: int | None, on_step: OnStep
    ) -> Iterator[Picture]:
        if any("end the worker" in request["prompt"] for request in requests):
            self._write(["ended"])
            os._exit(9)
        seeds = [str(request["seed"]) for request in requests]
        for seed, picture in zip(seeds, self._inner.render(requests, size, rung, on_step), strict=True):
            self._write([seed])
            yield picture

    def _write(self, words: Sequence[str]) -> None:
        descriptor = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(descriptor, "".join(f"{word}\n" for word in words).encode())
        finally:
            os.close(descriptor)


class CountingModels(Counting):
    """The models, counted in the same way."""

    def renderer(self, warehouse: Warehouse) -> Renderer:
        return ModelRenderer(warehouse)


def counted(log: Path) -> list[str]:
    """Return what was rendered, in order."""
    return log.read_text(encoding="ascii").split() if log.exists() else []
