"""SDXL from the pictures to the LoRA that renders: each kind of run, three steps of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from charaforge.diffusion.added_conditions import added_conditions
from charaforge.diffusion.bundle import load_bundle
from charaforge.diffusion.lora_adapters import activate, attach
from charaforge.diffusion.lora_format import read_lora
from charaforge.diffusion.prompts import encode_prompt
from charaforge.diffusion.single_file_export import write_single_file
from charaforge.generation.generator import Generator
from charaforge.requests.generation import GenerationRequest, LoraUse
from charaforge.training.cache import TensorCache
from charaforge.training.checkpoint import RunState
from charaforge.training.export import Exporter
from charaforge.training.journal import read_events
from charaforge.training.loop import take_step
from charaforge.training.loss.objective import predicted
from charaforge.training.reading import Reader
from charaforge.training.run import run
from charaforge.training.setup import build
from charaforge.warehouse.layout import Warehouse
from tests.training.conftest import MakeConfig, Prepare

WORDS: dict[str, Any] = {"text_encoder_train": True, "text_encoder_learning_rate": 1e-2}
TRAINED: dict[str, tuple[dict[str, Any], set[str]]] = {
    "unet": ({}, {"lora_unet"}),
    "both": (WORDS, {"lora_unet", "lora_te1", "lora_te2"}),
    "first": (WORDS | {"text_encoder_2_train": False}, {"lora_unet", "lora_te1"}),
    "second": ({"text_encoder_2_train": True}, {"lora_unet", "lora_te2"}),
}


@pytest.fixture
def noob(tiny_xl: Warehouse) -> str:
    """A single-file base of v-prediction with zero terminal SNR in the warehouse, as NoobAI's is."""
    card = {"prediction_type": "v_prediction", "zero_terminal_snr": True}
    bundle = load_bundle(tiny_xl.sdxl / "tiny-sdxl", "noob", card=card)
    write_single_file(tiny_xl.sdxl / "noob.safetensors", bundle)
    return "noob"


@pytest.mark.parametrize("kind", TRAINED)
def test_the_loras_file_gives_the_training_time_output_for_the_same_words_and_sizes(
    make_config: MakeConfig, prepared: Prepare, tiny_xl: Warehouse, tmp_path: Path, kind: str
) -> None:
    changes, prefixes = TRAINED[kind]
    config = make_config(model_id="tiny-sdxl", save_precision="fp32", caption_dropout=0, **changes)
    run_ = prepared(config)
    setup = build(run_, TensorCache(tmp_path / "cache"))
    for step in range(3):
        take_step(setup, RunState(step=step))
    exporter = Exporter(tmp_path / "zxq", run_)
    exporter.finish(setup.adapter, 3)
    names = load_file(exporter.lora_file)
    found = {next(p for p in ("lora_unet", "lora_te1", "lora_te2") if name.startswith(p)) for name in names}
    assert found == prefixes

    sample = run_.dataset.train[0]
    clean = setup.latents[0][None]
    when = torch.tensor([700])
    with torch.no_grad():
        trained = predicted(setup.unet, clean, when, setup.words.plain(sample))
        engine = load_bundle(tiny_xl.sdxl / "tiny-sdxl", "tiny-sdxl")
        outputs = []
        for strength in (0.0, 1.0):
            attach(engine, read_lora(exporter.lora_file), f"zxq{strength}")
            activate(engine, {f"zxq{strength}": strength})
            told = encode_prompt(engine, Reader(engine, config).prompt(sample.caption.text()))
            added = added_conditions(engine, told.pooled, sample.told_size())
            outputs.append(engine.unet(clean, when, told.states, added_cond_kwargs=added).sample)
    assert (outputs[0] - trained).abs().max() > 1e-3
    assert (outputs[1] - trained).abs().max() <= 1e-5


def rendered(warehouse: Warehouse, model: str, *loras: LoraUse) -> Any:
    told: dict[str, Any] = {"model": model, "steps": 2, "seed": 7, "width": 64, "height": 64, "loras": loras}
    request = GenerationRequest.model_validate({"prompt": "zxq, girl", **told})
    (image,) = Generator(warehouse, device="cpu").generate(request)
    return np.asarray(image.image, dtype=np.int16)


@pytest.mark.parametrize(("base", "changes"), [("tiny-sdxl", {}), ("noob", WORDS | {"min_snr_gamma": 5.0})])
def test_a_whole_run_ends_with_a_lora_that_renders(
    make_config: MakeConfig, tiny_xl: Warehouse, noob: str, base: str, changes: dict[str, Any]
) -> None:
    name = f"zxq-{base}"
    config = make_config(
        model_id=base,
        resolution=64,
        output_dir=tiny_xl.lora_folder(name),
        max_train_steps=3,
        validate_every_steps=1,
        learning_rate=5e-2,
        **changes,
    )
    result = run(config, tiny_xl)
    assert (result.steps, result.ended) == (3, "steps")
    header = read_lora(result.lora_file).metadata
    assert header["ss_base_model_version"] == "sdxl_base_v1-0"
    assert header["modelspec.prediction_type"] == ("v" if base == noob else "epsilon")
    losses = [
        e["loss"] for e in read_events(config.output_dir / "events.jsonl") if e["event"] == "validation"
    ]
    assert len(losses) == 4
    assert losses[-1] < losses[0]
    plain = rendered(tiny_xl, base)
    assert not np.array_equal(rendered(tiny_xl, base, LoraUse(name=name)), plain)
    assert np.array_equal(rendered(tiny_xl, base, LoraUse(name=name, weight=0.0)), plain)


def test_two_sdxl_runs_write_the_same_file(
    make_config: MakeConfig, tiny_xl: Warehouse, tmp_path: Path
) -> None:
    told = {"model_id": "tiny-sdxl", "max_train_steps": 2, "text_encoder_train": True}
    files = [run(make_config(**told, output_dir=tmp_path / n / "zxq"), tiny_xl).lora_file for n in ("1", "2")]
    assert files[0].read_bytes() == files[1].read_bytes()
