from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from charaforge.warehouse.layout import Warehouse
from tests.fixtures.tiny_models import tiny_sd

if TYPE_CHECKING:
    from fastapi.testclient import TestClient


URL = "http://localhost:8000"


@pytest.fixture
def client(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """The service with its embedded worker and the base tiny-sd, as seen from this machine."""
    from fastapi.testclient import TestClient

    from backend.main import create_app

    monkeypatch.setenv("DEFAULT_MODEL", "tiny-sd")
    tiny_sd(warehouse.sd / "tiny-sd")
    app = create_app()
    with TestClient(app, URL, client=("127.0.0.1", 50000), raise_server_exceptions=False) as client:
        yield client
