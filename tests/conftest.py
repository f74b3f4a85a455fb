"""What holds for every test: one thread, a warehouse of its own, no network, a marker."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

# Read by torch, onnxruntime and BLAS when they are imported, hence set before any of them is.
os.environ.update(
    OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false"
)

from charaforge.warehouse.bootstrap import bootstrap
from charaforge.warehouse.layout import Warehouse

ROOT = Path(__file__).resolve().parents[1]
TIERS = ("launch", "slow", "gpu")


class SocketInUnitTest(AssertionError):
    """A unit test tried to open a connection."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what has no tier as `unit`, and skip `gpu` where there is none."""
    for item in items:
        if not any(item.get_closest_marker(tier) for tier in TIERS):
            item.add_marker("unit")
        if item.get_closest_marker("gpu") and not _has_gpu():
            item.add_marker(pytest.mark.skip(reason="no CUDA device here"))


@pytest.fixture(scope="session")
def repository() -> Path:
    return ROOT


@pytest.fixture(autouse=True)
def own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep a developer's settings out; AI_CACHE_ROOT is a temporary folder."""
    for name in list(os.environ):
        others = ("DEFAULT_MODEL", "BATCH_MAX_ITEMS", "CHARAFORGE_API_URL")
        if name.startswith(("API_", "JOB_", "MODEL_")) or name in others:
            monkeypatch.delenv(name)
    root = tmp_path_factory.getbasetemp() / "warehouse"
    monkeypatch.setenv("AI_CACHE_ROOT", str(root))
    monkeypatch.setenv("REDIS_URL", "memory://")
    for name in ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", *Warehouse(root).cache_variables):
        monkeypatch.setenv(name, os.environ.get(name, "1"))  # put back what bootstrap sets


@pytest.fixture
def warehouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    """Return an empty warehouse that belongs to one test; AI_CACHE_ROOT points to it."""
    monkeypatch.setenv("AI_CACHE_ROOT", str(tmp_path / "warehouse"))
    return bootstrap()


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Refuse connections: all of them in unit tests, those to other machines in every test."""
    unit = request.node.get_closest_marker("unit") is not None
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        local = self.family == socket.AF_UNIX
        local = local or (not unit and str(address[0]) in ("127.0.0.1", "::1", "localhost"))
        if not local:
            raise SocketInUnitTest(f"this test must not connect to {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()
