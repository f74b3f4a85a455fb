"""A browser, the panel and the service as users start them: a picture, and one in a given pose."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from charaforge.diffusion.bundle import load_bundle
from charaforge.mini.render import keypoints
from charaforge.mini.scenes import sample_scene
from charaforge.perception.openpose_map import render_pose
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.registry import Registry
from tests.backend.test_launch import service
from tests.fixtures.tiny_loras import note_choice, random_lora

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.launch,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium"),
]
WAIT_MS = 120_000


def skeleton() -> Image.Image:
    """The skeleton of a figure of the mini world with its arms up, 256 px."""
    scene = replace(sample_scene(random.Random(3)), pose="arms up", framing="full body")
    points = keypoints(scene) * np.array([2, 2, 1], np.float32)
    return Image.fromarray(render_pose(points[None], 256, 256))


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
    seed = json.loads(Path(saved).with_suffix(".json").read_text(encoding="utf-8"))["request"]["seed"]
    assert f"seed {seed}." in page.locator("#told").inner_text()
    assert Path(saved).is_relative_to(warehouse.outputs.resolve())
    page.locator("#picture img").wait_for()
    page.locator("#history img").first.wait_for()
    page.screenshot(path=tmp_path / "panel.png", full_page=True)
    assert page.foreign == []


def test_a_picture_in_a_given_pose(page: Any, tmp_path: Path) -> None:
    pose = tmp_path / "pose.png"
    skeleton().save(pose)
    page.locator("#pose input[type=file]").set_input_files(pose)
    page.locator("#pose img").wait_for()
    saved = Path(make(page, "1girl, blue hair, hoodie, smile"))
    told = json.loads(saved.with_suffix(".json").read_text(encoding="utf-8"))
    assert told["request"]["controls"][0]["type"] == "pose"
    page.screenshot(path=tmp_path / "pose-panel.png", full_page=True)


def test_a_refusal_is_shown_on_the_page(page: Any) -> None:
    page.locator("#prompt textarea").fill("x" * 8193)
    page.locator("#make").click()
    page.get_by_text("at most 8192 characters").first.wait_for()


def test_a_lora_is_taken_at_the_weight_that_was_chosen_for_it(page: Any, warehouse: Warehouse) -> None:
    file = warehouse.lora_folder("mochi") / "mochi.safetensors"
    random_lora(file, load_bundle(Registry(warehouse).get("mini-sd", "base").path, "mini-sd"), seed=1)
    note_choice(file, weight=1.2, chosen_step=50)
    page.reload()
    page.locator("#loras input").click()
    page.get_by_role("option", name="mochi").click()
    page.wait_for_function("document.querySelector('#lora_scale input[type=number]').value === '1.2'")
