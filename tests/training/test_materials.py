from __future__ import annotations

from pathlib import Path

import pytest
import torch

from charaforge.diffusion.prompts import encode_prompt
from charaforge.errors import DatasetError, UnknownNameError, UsageError
from charaforge.training.cache import TensorCache
from charaforge.training.materials import CachedWords, encode_texts
from charaforge.training.setup import build
from charaforge.training.validation import Validation
from tests.training.conftest import MakeConfig, Prepare, write_picture


def test_captions_are_encoded_as_prompts_are(make_config: MakeConfig, prepared: Prepare) -> None:
    bundle = prepared(make_config()).base.bundle
    text = "zxq, girl, blue hair"
    assert torch.allclose(encode_texts(bundle, ["", text])[1:], encode_prompt(bundle, text).states, atol=1e-6)


def test_the_cache_of_captions_still_shuffles_and_drops(
    make_config: MakeConfig, prepared: Prepare, tmp_path: Path
) -> None:
    config = make_config(caption_variants=4, caption_dropout=0.3)
    run = prepared(config)
    setup = build(run, TensorCache(tmp_path / "cache"))
    words = setup.words
    assert isinstance(words, CachedWords)
    from charaforge.training.batches import draws

    batches = [draws(config, setup.deck, 1000, step, 1) for step in range(30)]
    states = {(d.sample, d.wordless, words.of_draws([d])[0].sum().item()) for batch in batches for d in batch}
    assert len({value for _, wordless, value in states if wordless}) == 1
    per_picture = [{v for s, w, v in states if s == sample and not w} for sample in range(7)]
    assert all(2 <= len(values) <= 4 for values in per_picture)


def test_captions_too_long_for_the_model_are_refused(
    make_config: MakeConfig, prepared: Prepare, pictures: Path
) -> None:
    (pictures / "0.txt").write_text(", ".join(f"word{n}" for n in range(60)), encoding="utf-8")
    with pytest.raises(DatasetError, match="longer than the 77 tokens"):
        prepared(make_config())
    assert prepared(make_config(max_truncated_share=0.2)).dataset.train


def test_a_base_is_found_by_name_or_path_and_a_wrong_one_is_told(
    make_config: MakeConfig, prepared: Prepare, tiny_folder: Path
) -> None:
    by_name = prepared(make_config()).base
    by_path = prepared(make_config(model_id=str(tiny_folder))).base
    assert by_name.bundle.sha256 == by_path.bundle.sha256
    assert (by_name.resolution, by_name.multiple, by_name.license) == (64, 16, "Apache-2.0")
    with pytest.raises(UnknownNameError, match="did you mean 'tiny-sd'"):
        prepared(make_config(model_id="tinysd2"))


def test_an_unwritable_output_folder_is_refused_before_the_first_step(
    make_config: MakeConfig, tmp_path: Path, tiny: object
) -> None:
    from charaforge.training.run import run

    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(UsageError, match="cannot be written to"):
        run(make_config(output_dir=tmp_path / "file" / "out"), tiny)  # type: ignore[arg-type]


def test_validation_uses_the_same_noise_every_time(
    make_config: MakeConfig, prepared: Prepare, tmp_path: Path
) -> None:
    setup = build(prepared(make_config()), TensorCache(tmp_path / "cache"))
    assert setup.validation.loss(setup.unet, setup.words) == setup.validation.loss(setup.unet, setup.words)
    assert Validation((), (), setup.schedule, 0).loss(setup.unet, setup.words) is None
