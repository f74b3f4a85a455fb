"""§5-9 of the research: caches never go stale. Latents, their views, masks and weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from charaforge.errors import DatasetError, ModelFileError
from charaforge.training.batches import Draw
from charaforge.training.cache import TensorCache
from charaforge.training.latents import LatentEncoder, Latents
from charaforge.training.setup import Prepared
from tests.training.conftest import MakeConfig, Prepare, write_picture

CPU = torch.device("cpu")
Encode = Callable[[Prepared], tuple[Latents, TensorCache]]


@pytest.fixture
def encode(tmp_path: Path) -> Encode:
    def encoded(run: Prepared) -> tuple[Latents, TensorCache]:
        cache = TensorCache(tmp_path / "cache")
        encoder = LatentEncoder(run.base.bundle, cache)
        return Latents(run.dataset.train, encoder, CPU, run.config.prior_loss_weight), cache

    return encoded


def draw(sample: int, view: int = 0) -> Draw:
    return Draw(0, 0, sample, view, 0, False)


def test_latents_are_the_vaes_and_are_computed_once(
    make_config: MakeConfig, prepared: Prepare, encode: Encode
) -> None:
    run = prepared(make_config())
    first, cache = encode(run)
    assert (cache.hits, cache.misses) == (0, 7)
    again, cache = encode(run)
    assert (cache.hits, cache.misses) == (7, 0)
    assert all(torch.equal(first[n], again[n]) for n in range(7))
    pixels = np.asarray(Image.open(run.dataset.train[0].path), np.float32)
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 127.5 - 1
    bundle = run.base.bundle
    with torch.no_grad():
        expected = bundle.vae.encode(tensor).latent_dist.mode()[0] * bundle.latent_scaling
    assert torch.allclose(first[0], expected, atol=1e-5)


def edit_picture(run: Prepared) -> dict[str, Any]:
    write_picture(run.dataset.train[0].path, 99)
    return {}


def edit_vae(run: Prepared) -> dict[str, Any]:
    with torch.no_grad():
        next(run.base.bundle.vae.parameters()).view(-1)[0] += 1e-3
    return {}


@pytest.mark.parametrize(
    ("change", "settings", "misses"),
    [
        (edit_picture, {}, range(1, 3)),
        (None, {"resolution": 96}, range(7, 8)),
        (edit_vae, {}, range(7, 8)),
        (None, {"flip_aug": True}, range(7, 8)),
        (None, {"crop_variants": 2}, range(7, 8)),
        (None, {}, range(0, 1)),
    ],
)
def test_whatever_decides_a_latent_makes_it_anew(
    make_config: MakeConfig,
    prepared: Prepare,
    encode: Encode,
    change: Callable[[Prepared], dict[str, Any]] | None,
    settings: dict[str, Any],
    misses: range,
) -> None:
    run = prepared(make_config())
    encode(run)
    if change is edit_vae:
        edit_vae(run)
    elif change is not None:
        change(run)
        run = prepared(make_config())
    else:
        run = prepared(make_config(**settings))
    _, cache = encode(run)
    assert cache.misses in misses


def test_an_edited_caption_is_read_anew_and_costs_no_latent(
    make_config: MakeConfig, prepared: Prepare, encode: Encode, pictures: Path
) -> None:
    run = prepared(make_config())
    encode(run)
    path = run.dataset.train[0].path
    path.with_suffix(".txt").write_text("zxq, red hair", encoding="utf-8")
    changed = prepared(make_config())
    assert changed.dataset.train[0].caption.text() == "zxq, red hair"
    assert changed.dataset.fingerprint() != run.dataset.fingerprint()
    assert encode(changed)[1].misses == 0


def test_flips_and_cuts_are_views_of_their_own(
    make_config: MakeConfig, prepared: Prepare, encode: Encode
) -> None:
    run = prepared(make_config(flip_aug=True, crop_variants=3, crop_scale=0.5))
    latents, _ = encode(run)
    views = run.dataset.train[0].views
    assert [view.flipped for view in views] == [False] * 3 + [True] * 3
    assert views[3].box == views[0].box
    found = latents.of_draws([draw(0, n) for n in range(6)])
    assert len({tuple(one.flatten()[:8].tolist()) for one in found}) == 6
    assert all(len(sample.views) == 1 for sample in run.dataset.held_out)
    size = run.dataset.train[0].told_size(1)
    left, top = views[1].box[0], views[1].box[1]
    scale = 64 / (views[1].box[2] - views[1].box[0])
    assert size.crop == (round(left * scale), round(top * scale))
    assert size.original == (64, 64)


def test_masks_are_cut_as_their_pictures_are(
    make_config: MakeConfig, prepared: Prepare, encode: Encode, pictures: Path, tmp_path: Path
) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    half = np.zeros((64, 64), np.uint8)
    half[:, :32] = 255
    Image.fromarray(half).save(masks / "0.png")
    run = prepared(make_config(mask_dir=masks, flip_aug=True, validation_share=0.0))
    latents, _ = encode(run)
    (number,) = (n for n, s in enumerate(run.dataset.train) if s.path.stem == "0")
    other = next(n for n, s in enumerate(run.dataset.train) if s.path.stem == "1")
    found = latents.masks([draw(number, 0), draw(number, 1), draw(other)])
    assert found is not None
    assert found.shape == (3, 1, 8, 8)
    assert torch.equal(found[0, 0, 0], torch.tensor([1.0] * 4 + [0.0] * 4))
    assert torch.equal(found[1], found[0].flip(-1))
    assert torch.equal(found[2], torch.ones(1, 8, 8))
    assert latents.masks([draw(other)]) is None


def test_transparency_is_a_mask_where_that_is_wanted(
    make_config: MakeConfig, prepared: Prepare, encode: Encode, pictures: Path
) -> None:
    rgba = Image.open(pictures / "0.png").convert("RGBA")
    rgba.putalpha(Image.new("L", rgba.size, 0))
    rgba.save(pictures / "0.png")
    plain = prepared(make_config(validation_share=0.0))
    assert not any(sample.mask for sample in plain.dataset.train)
    run = prepared(make_config(alpha_mask=True, validation_share=0.0))
    latents, _ = encode(run)
    found = latents.masks([draw(0)])
    assert found is not None
    assert found.sum() == 0


def test_a_mask_of_another_shape_is_refused(
    make_config: MakeConfig, prepared: Prepare, tmp_path: Path
) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    Image.new("L", (64, 32)).save(masks / "0.png")
    (masks / "1.png").write_bytes(b"broken")
    with pytest.raises(DatasetError, match="2 masks cannot be used") as caught:
        prepared(make_config(mask_dir=masks))
    assert "0.png is 64x32, its picture 64x64" in caught.value.message


def test_a_regularisation_set_is_weighted_and_says_no_trigger(
    make_config: MakeConfig, prepared: Prepare, encode: Encode, tmp_path: Path
) -> None:
    others = tmp_path / "others"
    others.mkdir()
    for number in range(3):
        write_picture(others / f"{number}.png", 50 + number)
        (others / f"{number}.txt").write_text("girl, smile", encoding="utf-8")
    run = prepared(make_config(reg_data_dir=others, prior_loss_weight=0.5))
    prior = [n for n, sample in enumerate(run.dataset.train) if sample.prior]
    assert [run.dataset.train[n].caption.text() for n in prior] == ["girl, smile"] * 3
    latents, _ = encode(run)
    assert latents.weights([draw(0), draw(prior[0])]).tolist() == [1.0, 0.5]


def test_a_vae_that_overflows_is_to_blame_and_not_the_picture(
    make_config: MakeConfig, prepared: Prepare, encode: Encode
) -> None:
    """§5-6: the error of peers names the picture."""
    run = prepared(make_config())
    with torch.no_grad():
        next(run.base.bundle.vae.parameters()).fill_(float("inf"))
    with pytest.raises(ModelFileError, match="the picture is not to blame"):
        encode(run)
