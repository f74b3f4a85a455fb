"""A browser, the panel and the service as users start them: a picture, and one in a given pose."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from charaforge.warehouse.layout import Warehouse
from tests.backend.test_launch import service

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.launch,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium"),
]
WAIT_MS = 120_000


@pytest.fixture
def page(warehouse: Warehouse) -> Iterator[Any]:
    """The panel below /ui of a running service, open in a browser that may reach nothing else."""
    from playwright.sync_api import sync_playwright

    with service() as (url, _), sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(WAIT_MS)
        page.foreign = []  # type: ignore[attr-defined]
        page.on("request", lambda request: _note(page, request.url, url))
        page.goto(url.removesuffix("/api/v1").replace("127.0.0.1", "localhost") + "/ui")
        yield page
        browser.close()


def _note(page: Any, asked: str, url: str) -> None:
    if not asked.startswith(("http://localhost:", "data:", "blob:")):
        page.foreign.append(asked)


def make(page: Any, prompt: str) -> str:
    page.locator("#prompt textarea").fill(prompt)
    page.locator("#make").click()
    page.wait_for_function("document.querySelector('#told').innerText.startsWith('Done in')")
    told: str = page.locator("#told code").inner_text()
    return told


def test_a_picture(page: Any, warehouse: Warehouse, tmp_path: Path) -> None:
    saved = make(page, "1girl, blue hair, hoodie, smile")
    assert Path(saved).is_relative_to(warehouse.outputs.resolve())
    page.locator("#picture img").wait_for()
    page.locator("#history img").first.wait_for()
    page.screenshot(path=tmp_path / "panel.png", full_page=True)
    assert page.foreign == []
