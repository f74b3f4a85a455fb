"""Captions as they are trained: equal to prompts, long, weighted, shuffled out of a cache; SDXL's sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from charaforge.diffusion.prompts import encode_prompt
from charaforge.errors import DatasetError, PromptError, UsageError
from charaforge.training.batches import Draw, draws
from charaforge.training.cache import TensorCache
from charaforge.training.conditions import Condition
from charaforge.training.loss.objective import predicted
from charaforge.training.pictures import View
from charaforge.training.reading import Reader
from charaforge.training.setup import Prepared, build
from charaforge.training.words import CachedWords, LiveWords, variant
from tests.training.conftest import MakeConfig, Prepare

LONG = ", ".join(f"girl hat {n}" for n in range(40))
ODD = "zxq (series), [smile], a\\b, BREAK, AND, blue_hair:1.2"


def draw(sample: int, *, wordless: bool = False, position: int = 0, view: int = 0) -> Draw:
    return Draw(step=0, position=position, sample=sample, view=view, timestep=500, wordless=wordless)


def cached(run: Prepared, folder: Path) -> tuple[CachedWords, TensorCache]:
    cache = TensorCache(folder)
    return CachedWords(run.base.bundle, run.dataset.train, run.dataset.held_out, run.config, cache), cache


@pytest.mark.parametrize("model", ["tiny-sd", "tiny-sdxl"])
@pytest.mark.parametrize("clip_skip", [1, 2])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_caption_is_what_the_same_prompt_is_for_generation(
    make_config: MakeConfig, prepared: Prepare, tiny_xl: object, model: str, clip_skip: int, weighted: bool
) -> None:
    config = make_config(model_id=model, clip_skip=clip_skip, weighted_tags=weighted, max_token_length=225)
    bundle = prepared(config).base.bundle
    reader = Reader(bundle, config)
    captions = ["", "zxq, girl, blue hair", LONG[:200]]
    captions += ["zxq, (blue hair:1.3), [smile]"] if weighted else [ODD]
    together = reader.encode(captions)
    for caption, found in zip(captions, together, strict=True):
        wanted = encode_prompt(bundle, reader.prompt(caption), clip_skip)
        assert torch.allclose(found.states, wanted.states, atol=1e-6)
        assert found.states.shape[1] == reader.windows(caption) * 77
        if model == "tiny-sdxl":
            assert found.pooled is not None
            assert wanted.pooled is not None
            assert torch.allclose(found.pooled, wanted.pooled, atol=1e-6)
    assert together[2].states.shape[1] > 77


def test_brackets_are_names_unless_captions_are_weighted(make_config: MakeConfig, prepared: Prepare) -> None:
    bundle = prepared(make_config()).base.bundle
    plain, weighted = (Reader(bundle, make_config(weighted_tags=told)) for told in (False, True))
    assert plain.tokens("(girl:1.5)") > weighted.tokens("(girl:1.5)") == plain.tokens("girl")
    same, scaled, girl = plain.encode(["(girl:1.0)"])[0], *weighted.encode(["(girl:1.5)", "girl"])
    assert not torch.allclose(scaled.states, girl.states)
    assert not torch.allclose(same.states, girl.states)
    with pytest.raises(PromptError, match="weight"):
        weighted.encode(["(girl:5000)"])


def test_pain_5_2_what_is_cut_off_of_a_long_caption_is_known(
    make_config: MakeConfig, prepared: Prepare
) -> None:
    bundle = prepared(make_config()).base.bundle
    for tokens, windows in ((75, 1), (150, 2), (225, 3)):
        reader = Reader(bundle, make_config(max_token_length=tokens))
        assert reader.windows(LONG) == windows
        assert reader.is_cut_off(LONG) is (reader.tokens(LONG) > tokens)
        assert not reader.is_cut_off("zxq, girl")
        assert reader.encode([LONG])[0].states.shape[1] == windows * 77


def test_pain_5_2_captions_too_long_for_the_model_are_refused(
    make_config: MakeConfig, prepared: Prepare, pictures: Path
) -> None:
    (pictures / "0.txt").write_text(", ".join(f"word{n}" for n in range(60)), encoding="utf-8")
    with pytest.raises(DatasetError, match="longer than the 75 tokens"):
        prepared(make_config())
    assert prepared(make_config(max_truncated_share=0.2)).dataset.train


def test_pain_5_2_a_dropped_caption_is_the_empty_prompt_and_none_is_dropped_in_validation(
    make_config: MakeConfig, prepared: Prepare, tmp_path: Path
) -> None:
    run = prepared(make_config(caption_dropout=0.99))
    words, _ = cached(run, tmp_path / "cache")
    empty = encode_prompt(run.base.bundle, "").states
    assert torch.allclose(words.of_draws([draw(0, wordless=True)]).states, empty, atol=1e-6)
    sample = run.dataset.train[0]
    whole = encode_prompt(run.base.bundle, sample.caption.text()).states
    assert torch.allclose(words.plain(sample).states, whole, atol=1e-6)


def test_a_skip_of_more_layers_than_there_are_is_refused(make_config: MakeConfig, prepared: Prepare) -> None:
    bundle = prepared(make_config()).base.bundle
    with pytest.raises(UsageError, match=r"clip_skip 3.*has 2 layers"):
        Reader(bundle, make_config(clip_skip=3))


@pytest.mark.parametrize(
    ("model", "precision"), [("tiny-sd", "no"), ("tiny-sdxl", "no"), ("tiny-sdxl", "auto")]
)
def test_a_short_caption_beside_a_long_one_is_trained_as_alone(
    make_config: MakeConfig,
    prepared: Prepare,
    tiny_xl: object,
    tmp_path: Path,
    pictures: Path,
    model: str,
    precision: str,
) -> None:
    (pictures / "0.txt").write_text(LONG, encoding="utf-8")
    config = make_config(
        model_id=model, mixed_precision=precision, max_token_length=225, max_truncated_share=1
    )
    run = prepared(config)
    channels = run.base.bundle.latent_channels
    setup = build(run, TensorCache(tmp_path / "cache"))
    words, unet = setup.words, setup.unet
    samples = run.dataset.train
    long = next(n for n, s in enumerate(samples) if s.path.stem == "0")
    short = next(n for n, s in enumerate(samples) if s.path.stem != "0" and s.size == samples[long].size)
    noisy = torch.randn(2, channels, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        both = words.of_draws([draw(long), draw(short, position=1)])
        alone = words.of_draws([draw(short, position=1)])
        assert both.shown is not None
        assert alone.shown is None
        when = torch.tensor([500, 500])
        together = predicted(unet, noisy, when, both)[1:]
        found = predicted(unet, noisy[1:], when[1:], alone)
        unmasked = predicted(unet, noisy, when, Condition(both.states, None, both.pooled, both.time_ids))[1:]
    near = 1e-5 if precision == "no" else 2e-2
    assert torch.allclose(together, found, atol=near)
    assert not torch.allclose(unmasked, found, atol=3 * near)


@pytest.mark.parametrize("model", ["tiny-sd", "tiny-sdxl"])
def test_the_cache_of_captions_still_shuffles_and_drops(
    make_config: MakeConfig, prepared: Prepare, tiny_xl: object, tmp_path: Path, model: str
) -> None:
    config = make_config(model_id=model, caption_variants=4, caption_dropout=0.3)
    run = prepared(config)
    setup = build(run, TensorCache(tmp_path / "cache"))
    assert isinstance(setup.words, CachedWords)
    batches = [draws(config, setup.deck, 1000, step, 1) for step in range(30)]
    found = {
        (d.sample, d.wordless, setup.words.of_draws([d]).states.sum().item()) for b in batches for d in b
    }
    assert len({value for _, wordless, value in found if wordless}) == 1
    per_picture = [{v for s, w, v in found if s == sample and not w} for sample in range(7)]
    assert all(2 <= len(values) <= 4 for values in per_picture)


@pytest.mark.parametrize("model", ["tiny-sd", "tiny-sdxl"])
def test_what_is_cached_is_what_is_encoded_live(
    make_config: MakeConfig, prepared: Prepare, tiny_xl: object, tmp_path: Path, pictures: Path, model: str
) -> None:
    (pictures / "0.txt").write_text(LONG, encoding="utf-8")
    settings = {"caption_variants": 1, "tag_dropout": 0.0, "max_token_length": 150, "max_truncated_share": 1}
    config = make_config(model_id=model, **settings)
    run = prepared(config)
    words, _ = cached(run, tmp_path / "cache")
    reader = Reader(run.base.bundle, config)
    for number, sample in enumerate(run.dataset.train):
        with torch.no_grad():
            wanted = reader.encode([variant(config, sample, 0)])[0]
        found = words.of_draws([draw(number)])
        assert torch.allclose(found.states, wanted.states, atol=1e-6)
        assert (found.pooled is None) is (wanted.pooled is None)
        if found.pooled is not None and wanted.pooled is not None:
            assert torch.allclose(found.pooled, wanted.pooled, atol=1e-6)
        with torch.no_grad():
            plain = reader.encode([sample.caption.text()])[0]
        assert torch.allclose(words.plain(sample).states, plain.states, atol=1e-6)


@pytest.mark.parametrize(
    "changes", [{"clip_skip": 2}, {"max_token_length": 150}, {"weighted_tags": True}, {"seed": 5}]
)
def test_cached_captions_are_never_stale(
    make_config: MakeConfig, prepared: Prepare, tmp_path: Path, pictures: Path, changes: dict[str, Any]
) -> None:
    (pictures / "1.txt").write_text("zxq (series), girl, hat, smile", encoding="utf-8")
    run = prepared(make_config())
    _, first = cached(run, tmp_path / "cache")
    _, again = cached(run, tmp_path / "cache")
    assert first.misses > 0
    assert again.misses == 0
    _, changed = cached(prepared(make_config(**changes)), tmp_path / "cache")
    assert changed.misses > 0
    (pictures / "0.txt").write_text("zxq, other words", encoding="utf-8")
    _, edited = cached(prepared(make_config()), tmp_path / "cache")
    assert 1 <= edited.misses <= 4


def time_ids(condition: Condition) -> list[list[float]]:
    assert isinstance(condition.time_ids, Tensor)
    return condition.time_ids.tolist()


def test_sdxl_is_told_original_crop_and_target_of_each_view(
    make_config: MakeConfig, prepared: Prepare, tiny_xl: object
) -> None:
    config = make_config(model_id="tiny-sdxl", flip_aug=True, crop_variants=2, resolution=64)
    run = prepared(config)
    words = LiveWords(run.base.bundle, run.dataset.train, config)
    number = next(n for n, s in enumerate(run.dataset.train) if s.original == (64, 112))
    tall = run.dataset.train[number]
    with torch.no_grad():
        found = time_ids(words.of_draws([draw(number, view=view) for view in range(4)]))
        assert time_ids(words.plain(tall)) == found[:1]
    width, height = tall.size
    assert all(ids[:2] == [112, 64] and ids[4:] == [height, width] for ids in found)
    middle, part, mirrored, mirrored_part = (ids[2:4] for ids in found)
    assert middle == mirrored == [round((112 * width / 64 - height) / 2), 0]
    shown = (tall.views[1].box[2] - tall.views[1].box[0]) / 64
    assert part[0] == mirrored_part[0]
    assert part[1] + mirrored_part[1] == pytest.approx(width / shown - width, abs=1.01)


def test_what_is_cut_off_is_mirrored_with_the_picture() -> None:
    box = (10.0, 6.0, 42.0, 54.0)
    assert View(box).offset((64, 96), (64, 60)) == (12, 20)
    assert View(box, flipped=True).offset((64, 96), (64, 60)) == (12, 44)


def test_weights_of_tags_reach_the_text_encoder_from_the_caption_file(
    make_config: MakeConfig, prepared: Prepare, pictures: Path
) -> None:
    (pictures / "0.txt").write_text(r"zxq \(series\), (blue hair:1.3), smile", encoding="utf-8")
    run = prepared(make_config(weighted_tags=True))
    sample = next(s for s in run.dataset.train if s.path.stem == "0")
    wanted = encode_prompt(run.base.bundle, r"zxq, zxq \(series\), (blue hair:1.3), smile")
    words = LiveWords(run.base.bundle, run.dataset.train, run.config)
    with torch.no_grad():
        assert torch.allclose(words.plain(sample).states, wanted.states, atol=1e-6)


def test_weighted_captions_that_cannot_be_read_are_named_before_the_first_step(
    make_config: MakeConfig, prepared: Prepare, pictures: Path
) -> None:
    (pictures / "0.txt").write_text("zxq, (girl:5000)", encoding="utf-8")
    assert prepared(make_config()).dataset.train
    with pytest.raises(DatasetError, match=r"1 captions cannot be read:\n.*0\.png: .*5000"):
        prepared(make_config(weighted_tags=True))


def test_sd15_is_told_words_only(make_config: MakeConfig, prepared: Prepare) -> None:
    run = prepared(make_config())
    words = LiveWords(run.base.bundle, run.dataset.train, run.config)
    told = words.of_draws([draw(0)])
    assert (told.pooled, told.time_ids, told.shown) == (None, None, None)
    assert set(told.arguments(torch.device("cpu"), torch.bfloat16)) == {"encoder_hidden_states"}
    assert told.repeated(3).states.shape == (3, 77, 32)
