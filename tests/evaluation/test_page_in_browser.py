"""The report in a browser that may reach nothing else: whole, and not wider than its window."""

import shutil
from pathlib import Path

import pytest

from charaforge.evaluation.report import write_refusal, write_report
from charaforge.evaluation.results import Refusal
from tests.evaluation.findings import finding, with_choice

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.launch,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium"),
]


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_and_asks_for_nothing(tmp_path: Path, width: int) -> None:
    from playwright.sync_api import sync_playwright

    report = write_report(with_choice(finding(tmp_path)), tmp_path)
    refusal = write_refusal(Refusal(why="5 references", remedy="3 are missing", command="x"), tmp_path / "no")
    asked: list[str] = []
    faults: list[str] = []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: faults.append(str(error)))
        for path in (report, refusal):
            page.goto(path.as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
            page.screenshot(path=tmp_path / f"{path.parent.name}-{width}.png", full_page=True)
        browser.close()
    assert faults == []
    assert all(url.startswith(("file:", "data:")) for url in asked)
