"""Samples on the way: what users will get from the same file, wherever the run lies, and no memory kept."""

from __future__ import annotations

import gc
import json
import weakref
from pathlib import Path

import pytest

from charaforge.generation.generator import Generator
from charaforge.generation.outputs import png_bytes
from charaforge.requests.generation import GenerationRequest, LoraUse
from charaforge.training.run import run
from charaforge.warehouse.layout import Warehouse
from tests.fixtures.tiny_models import TinyRegistry
from tests.training.conftest import MakeConfig

PROMPTS = ("[character], girl", "girl, blue hair")


@pytest.fixture(autouse=True)
def with_upscaler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("charaforge.training.samples.Registry", TinyRegistry)


def test_samples_on_the_way_and_at_the_end_are_what_users_get(
    make_config: MakeConfig, tiny: Warehouse
) -> None:
    """Peers' samples do not match those of other programs: their trainers render them in their own way."""
    out = tiny.lora_folder("zxq_samples")
    told = {"max_train_steps": 4, "save_every_steps": 2, "sample_every_steps": 2, "seed": 5}
    run(make_config(output_dir=out, sample_prompts=PROMPTS, sample_negative="smile", **told), tiny)
    assert sorted(p.name for p in (out / "samples").iterdir()) == ["step00000002", "step00000004"]
    sidecar = json.loads((out / "samples" / "step00000002" / "0001.json").read_text(encoding="utf-8"))
    assert sidecar["parameters"].startswith("zxq, girl")
    for step in (2, 4):
        request = GenerationRequest(
            prompt=PROMPTS[0],
            negative="smile",
            model="tiny-sd",
            loras=(LoraUse(name=f"zxq_samples@{step}"),),
            seed=5,
        )
        (image,) = Generator(tiny, TinyRegistry(tiny)).generate(request)
        file = out / "samples" / f"step{step:08d}" / "0001.png"
        assert png_bytes(image) == file.read_bytes()


def test_a_run_outside_the_warehouse_has_samples_too_and_keeps_no_file_for_them(
    make_config: MakeConfig, tiny: Warehouse
) -> None:
    base = str(tiny.sd / "tiny-sd")
    told = {"max_train_steps": 3, "save_every_steps": 9, "sample_every_steps": 1, "model_id": base}
    config = make_config(sample_prompts=PROMPTS[:1], **told)
    run(config, tiny)
    assert len(list((config.output_dir / "samples").rglob("*.png"))) == 3
    assert [p.name for p in (config.output_dir / "checkpoints").iterdir()] == ["out-step00000003.safetensors"]


def test_sampling_leaves_no_model_behind(
    make_config: MakeConfig, tiny: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """§5-4: the memory of samples leaks in peers."""
    made: list[weakref.ref[Generator]] = []

    class Watched(Generator):
        def __init__(self, *args: object) -> None:
            super().__init__(*args)  # type: ignore[arg-type]
            made.append(weakref.ref(self))

    monkeypatch.setattr("charaforge.training.samples.Generator", Watched)
    run(make_config(max_train_steps=2, sample_prompts=PROMPTS[:1], sample_every_steps=1), tiny)
    gc.collect()
    assert [reference() for reference in made] == [None, None]


def test_a_sample_that_cannot_be_rendered_is_told_and_the_run_goes_on(
    make_config: MakeConfig, tiny: Warehouse, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    config = make_config(max_train_steps=1, sample_prompts=["girl <lora:nowhere:1>"])
    assert run(config, tiny).lora_file.is_file()
    assert "no samples of step 1: unknown lora" in caplog.text
