"""What the UNet is told of a prompt and of an empty negative prompt, beside plain diffusers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionXLPipeline

from charaforge.diffusion.bundle import load_bundle
from charaforge.diffusion.single_file_export import write_single_file
from charaforge.generation.wording import WordEncoder
from tests.fixtures.tiny_sdxl import tiny_sdxl


@pytest.mark.parametrize("zeros", [True, False])
def test_no_negative_prompt_is_what_diffusers_makes_of_it(zeros: bool, tmp_path: Path) -> None:
    folder = tiny_sdxl(tmp_path / "xl", zero_empty=zeros)
    bundle = load_bundle(folder, "xl")
    write_single_file(tmp_path / "xl.safetensors", bundle)
    pipe = StableDiffusionXLPipeline.from_pretrained(folder)
    with torch.no_grad():
        _, wanted, _, pooled = pipe.encode_prompt("blue hair girl")
    for model in (bundle, load_bundle(tmp_path / "xl.safetensors", "xl")):
        words = WordEncoder(model, 1).words("blue hair girl", "")
        assert torch.allclose(words.negative.states, wanted, atol=1e-6)
        assert words.negative.pooled is not None
        assert torch.allclose(words.negative.pooled, pooled, atol=1e-6)
        assert bool(words.negative.states.any()) is not zeros
        assert words.prompt.states.any()


def test_a_long_prompt_and_words_are_not_zeroed(tmp_path: Path) -> None:
    bundle = load_bundle(tiny_sdxl(tmp_path / "xl", zero_empty=True), "xl")
    encoder = WordEncoder(bundle, 1)
    long = encoder.words("girl BREAK hair", "")
    assert long.negative.states.shape == long.prompt.states.shape
    assert not long.negative.states.any()
    assert encoder.words("", "hat").negative.states.any()
    assert encoder.words("", "").prompt.states.any()


def test_sdxl_models_that_say_nothing_take_zeros(tmp_path: Path) -> None:
    folder = tiny_sdxl(tmp_path / "xl")
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    del index["force_zeros_for_empty_prompt"]
    (folder / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    assert load_bundle(folder, "xl").zero_empty
