"""LoRA files told about, converted, resized, merged and extracted; others are refused by what they are."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from charaforge.diffusion.bundle import Bundle, load_bundle
from charaforge.diffusion.lora_adapters import Strength, activate, attach, detach
from charaforge.diffusion.lora_format import LoraFile, read_lora, write_lora
from charaforge.diffusion.lora_names import places
from charaforge.diffusion.lora_tools.convert import convert, kohya_named
from charaforge.diffusion.lora_tools.extract import Wish, extract
from charaforge.diffusion.lora_tools.info import change_norm, describe_file
from charaforge.diffusion.lora_tools.low_rank import RankChoice, compress_whole
from charaforge.diffusion.lora_tools.merge import Ingredient, merge, merge_into
from charaforge.diffusion.lora_tools.opening import family_of, open_lora
from charaforge.diffusion.lora_tools.resize import compressed, resize
from charaforge.diffusion.lora_updates import DoraLayer, HadamardLayer, LoraLayer, Update
from charaforge.errors import ModelFileError, UsageError
from tests.fixtures.tiny_adapters import difference, outputs
from tests.fixtures.tiny_loras import random_lora
from tests.fixtures.tiny_models import tiny_sd
from tests.fixtures.tiny_sdxl import tiny_sdxl

FAMILIES = {"sd15": tiny_sd, "sdxl": tiny_sdxl}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {family: build(root / family) for family, build in FAMILIES.items()}


@pytest.fixture(params=FAMILIES)
def base(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Bundle:
    return load_bundle(folders[request.param], request.param)


@pytest.fixture
def sd15(folders: dict[str, Path]) -> Bundle:
    return load_bundle(folders["sd15"], "sd15")


def effect(bundle: Bundle, *loras: LoraFile, weights: tuple[float, ...] = (1.0, 1.0)) -> list[torch.Tensor]:
    for number, lora in enumerate(loras):
        attach(bundle, lora, str(number))
    activate(bundle, {str(n): weights[n] for n in range(len(loras))})
    found = outputs(bundle.unet, bundle.text_encoders)
    for number in range(len(loras)):
        detach(bundle, str(number))
    return found


def as_file(path: Path, layers: dict[str, Update] | dict[str, LoraLayer], **told: str) -> LoraFile:
    write_lora(path, layers, told)
    return read_lora(path)


def test_conversions_keep_the_effect(base: Bundle, tmp_path: Path) -> None:
    lora = read_lora(random_lora(tmp_path / "a.safetensors", base, seed=1, mixed=True))
    convert(lora, base, tmp_path / "b.safetensors", "diffusers")
    keys = set(load_file(tmp_path / "b.safetensors"))
    assert any(
        key.startswith("unet.down_blocks.1.") and key.endswith(".attn2.to_k.lora_A.weight") for key in keys
    )
    assert "text_encoder.text_model.encoder.layers.0.mlp.fc1.lora_B.weight" in keys
    assert not any(key.endswith("alpha") for key in keys)
    there = read_lora(tmp_path / "b.safetensors")
    convert(there, base, tmp_path / "c.safetensors", "kohya", torch.float32)
    back = read_lora(tmp_path / "c.safetensors")
    assert back.layers.keys() == lora.layers.keys()
    for each in (there, back):
        assert difference(effect(base, each), effect(base, lora)) <= 2e-6


def test_half_the_size_in_fp16(sd15: Bundle, tmp_path: Path) -> None:
    lora = read_lora(random_lora(tmp_path / "a.safetensors", sd15, seed=1))
    convert(lora, sd15, tmp_path / "b.safetensors", "kohya", torch.float16)
    assert {t.dtype for t in load_file(tmp_path / "b.safetensors").values()} == {torch.float16}
    assert difference(effect(sd15, read_lora(tmp_path / "b.safetensors")), effect(sd15, lora)) < 5e-3


def test_a_loha_has_no_keys_in_diffusers(sd15: Bundle, tmp_path: Path) -> None:
    lora = as_file(tmp_path / "a.safetensors", {"lora_unet_mid_block_attentions_0_proj_out": loha()})
    with pytest.raises(ModelFileError, match="no keys"):
        convert(lora, sd15, tmp_path / "b.safetensors", "diffusers")


def loha() -> HadamardLayer:
    draw = torch.Generator().manual_seed(1)
    a1, b1, a2, b2 = (torch.randn(s, generator=draw) for s in ((64, 2), (2, 64), (64, 2), (2, 64)))
    return HadamardLayer(a1, b1, a2, b2, None, None, 1.0)


def test_a_lora_of_another_base_says_so(folders: dict[str, Path], sd15: Bundle, tmp_path: Path) -> None:
    sdxl = load_bundle(folders["sdxl"], "sdxl")
    lora = read_lora(random_lora(tmp_path / "a.safetensors", sdxl, seed=1))
    with pytest.raises(ModelFileError, match=r"are none of the sd15 model's"):
        kohya_named(lora, sd15)


def test_resizing_to_the_own_rank_loses_nothing(base: Bundle, tmp_path: Path) -> None:
    lora = read_lora(random_lora(tmp_path / "a.safetensors", base, seed=1, mixed=True))
    done = resize(lora.layers, base, RankChoice(4))
    assert done.error < 1e-6
    again = as_file(tmp_path / "b.safetensors", dict(done.layers))
    assert difference(effect(base, again), effect(base, lora)) <= 1e-5
    for name, layer in lora.layers.items():
        now = done.layers[name]
        assert isinstance(layer, LoraLayer)
        assert isinstance(now, LoraLayer)
        assert now.alpha / now.rank == pytest.approx(layer.alpha / layer.rank)


def test_what_resizing_loses_is_the_smaller_singular_values(sd15: Bundle, tmp_path: Path) -> None:
    lora = read_lora(random_lora(tmp_path / "a.safetensors", sd15, seed=1))
    done = resize(lora.layers, sd15, RankChoice(2))
    assert set(done.ranks) == {2}
    known = {place.name: place.module.weight for place in places(sd15)}
    lost = whole = 0.0
    for name, update in lora.layers.items():
        change, now = (u.delta(known[name]).flatten(1) for u in (update, done.layers[name]))
        values = torch.linalg.svdvals(change.double())
        assert float((change - now).norm()) == pytest.approx(float(values[2:].norm()), rel=1e-3)
        assert done.lost[name] == pytest.approx(float(values[2:].norm() / values.norm()), rel=1e-5)
        lost, whole = lost + float(values[2:].square().sum()), whole + float(values.square().sum())
    assert done.error == pytest.approx((lost / whole) ** 0.5, rel=1e-6)


@pytest.mark.parametrize(
    ("choice", "rank"),
    [
        (RankChoice(8), 4),
        (RankChoice(3), 3),
        (RankChoice(8, ratio=2.5), 2),
        (RankChoice(8, ratio=4), 3),
        (RankChoice(8, energy=0.8), 1),
        (RankChoice(8, energy=0.95), 2),
        (RankChoice(8, ratio=4, energy=0.95), 2),
        (RankChoice(8, ratio=1e9, energy=1.0), 4),
    ],
)
def test_ranks_by_singular_values(choice: RankChoice, rank: int) -> None:
    found = compress_whole(torch.diag(torch.tensor([4.0, 2.0, 1.0, 0.5])), choice)
    assert found.layer.rank == rank


def test_a_loha_becomes_a_lora_and_a_dora_keeps_its_lengths(sd15: Bundle) -> None:
    name = "lora_unet_mid_block_attentions_0_proj_out"
    done = resize({name: loha()}, sd15, RankChoice(4))
    assert done.error < 1e-5  # the product of two of rank 2 has rank 4
    inner = LoraLayer(torch.randn(4, 64, 1, 1), torch.randn(64, 4, 1, 1), 2.0)
    lengths = torch.rand(64, 1, 1, 1)
    update = resize({name: DoraLayer(inner, lengths)}, sd15, RankChoice(2)).layers[name]
    assert isinstance(update, DoraLayer)
    assert update.magnitude is lengths
    assert isinstance(update.inner, LoraLayer)
    assert (update.inner.rank, update.inner.alpha) == (2, 1.0)


def test_a_merge_adds_what_its_parts_add(base: Bundle, tmp_path: Path) -> None:
    one = read_lora(random_lora(tmp_path / "a.safetensors", base, seed=1, mixed=True))
    two = read_lora(random_lora(tmp_path / "b.safetensors", base, seed=2))
    both = effect(base, one, two, weights=(0.7, -0.4))
    parts = [Ingredient(one, Strength.even(0.7)), Ingredient(two, Strength.even(-0.4))]
    whole = merge(parts, base)
    assert whole.error == 0.0
    assert difference(effect(base, as_file(tmp_path / "c.safetensors", dict(whole.layers))), both) <= 1e-4
    small = merge(parts, base, RankChoice(8))
    assert small.error < 1e-6  # 4 + 4 directions at most
    assert difference(effect(base, as_file(tmp_path / "d.safetensors", dict(small.layers))), both) <= 1e-4
    assert 0.1 < merge(parts, base, RankChoice(2)).error < 1
    assert merge_into(base, parts) == len(whole.layers)
    assert difference(outputs(base.unet, base.text_encoders), both) <= 1e-4


def test_text_encoders_have_a_strength_of_their_own(sd15: Bundle, tmp_path: Path) -> None:
    lora = read_lora(random_lora(tmp_path / "a.safetensors", sd15, seed=1))
    done = merge([Ingredient(lora, Strength(1.0, 0.0))], sd15)
    norms = {name: change_norm(layer) for name, layer in done.layers.items()}
    assert all((norm == 0) == name.startswith("lora_te") for name, norm in norms.items())


def test_doras_are_merged_into_models_only(sd15: Bundle, tmp_path: Path) -> None:
    name = "lora_unet_mid_block_attentions_0_proj_out"
    layer = LoraLayer(torch.randn(4, 64, 1, 1), torch.randn(64, 4, 1, 1), 2.0)
    dora = as_file(tmp_path / "a.safetensors", {name: DoraLayer(layer, torch.rand(64, 1, 1, 1))})
    parts = [Ingredient(dora, Strength.even(1.0))]
    for choice in (None, RankChoice(4)):
        with pytest.raises(ModelFileError, match="is a DoRA"):
            merge(parts, sd15, choice)
    expected = effect(sd15, dora)
    assert merge_into(sd15, parts) == 1
    assert difference(outputs(sd15.unet, sd15.text_encoders), expected) <= 1e-5


def test_other_kinds_need_a_rank_to_be_merged(sd15: Bundle, tmp_path: Path) -> None:
    lora = as_file(tmp_path / "a.safetensors", {"lora_unet_mid_block_attentions_0_proj_out": loha()})
    with pytest.raises(UsageError, match="give a rank"):
        merge([Ingredient(lora, Strength.even(1.0))], sd15)
    assert merge([Ingredient(lora, Strength.even(1.0))], sd15, RankChoice(4)).error < 1e-5


def test_what_is_extracted_is_what_was_merged_in(
    base: Bundle, folders: dict[str, Path], tmp_path: Path
) -> None:
    lora = read_lora(random_lora(tmp_path / "a.safetensors", base, seed=1))
    tuned = load_bundle(folders[base.family], "tuned")
    merge_into(tuned, [Ingredient(lora, Strength.even(1.0))])
    expected = effect(base, lora)
    found = extract(tuned, base, Wish(RankChoice(4), RankChoice(4)))
    assert found.error < 1e-4
    assert found.left_out < 0.5  # the random LoRA changes a few layers that kohya's scripts leave alone
    linear = extract(tuned, base, Wish(RankChoice(4), text=False))
    assert not any(name.startswith("lora_te") or "conv1" in name for name in linear.layers)
    assert linear.left_out > found.left_out
    if base.family == "sd15":
        assert (
            difference(effect(base, as_file(tmp_path / "b.safetensors", dict(found.layers))), expected) < 0.5
        )
    with pytest.raises(UsageError, match="do not differ"):
        extract(base, base, Wish(RankChoice(4)))


def test_models_of_two_shapes_have_no_difference(folders: dict[str, Path], sd15: Bundle) -> None:
    with pytest.raises(ModelFileError, match="not of one shape"):
        extract(load_bundle(folders["sdxl"], "sdxl"), sd15, Wish(RankChoice(4)))


def test_info_tells_all(base: Bundle, tmp_path: Path) -> None:
    path = random_lora(tmp_path / "a.safetensors", base, seed=1, mixed=True)
    told = describe_file(path, open_lora(path))
    assert told["trigger"] == "zxq"
    assert told["ranks"].keys() == {"4", "2"}
    assert told["base"]["name"] == base.name
    assert told["parts"]["text_encoder"] == 12
    assert told["hashes"]["autov3"] == read_lora(path).tensors_sha256[:12].upper()
    layer = next(iter(told["layers"]))
    update = read_lora(path).layers[layer]
    assert told["layers"][layer]["norm"] == pytest.approx(
        float(update.delta(torch.zeros(update.shape)).norm())
    )
    assert told["norms"]["largest"] == max(each["norm"] for each in told["layers"].values())


def test_info_warns_of_what_other_programs_do(folders: dict[str, Path], tmp_path: Path) -> None:
    """Pain point 8: an SDXL LoRA that A1111 hides, keys that ComfyUI does not read, a DoRA elsewhere."""
    sdxl = load_bundle(folders["sdxl"], "sdxl")
    lora = read_lora(random_lora(tmp_path / "a.safetensors", sdxl, seed=1))
    path = tmp_path / "b.safetensors"
    write_lora(path, lora.layers, {"ss_network_dim": "4"})
    assert "A1111 hides it" in describe_file(path, open_lora(path))["warnings"][0]
    convert(lora, sdxl, path, "diffusers")
    assert any("keys of diffusers" in line for line in describe_file(path, open_lora(path))["warnings"])
    name = "lora_unet_mid_block_attentions_0_proj_out"
    dead = LoraLayer(torch.ones(4, 64), torch.zeros(64, 4), 4.0)
    write_lora(path, {name: DoraLayer(dead, torch.ones(64, 1)), f"{name}_x": copy.deepcopy(dead)}, {})
    warnings = describe_file(path, open_lora(path))["warnings"]
    assert any("ComfyUI and Forge" in line for line in warnings)
    assert any("2 of 2 layers change nothing" in line for line in warnings)
    bad = LoraLayer(torch.full((4, 64), float("nan")), torch.ones(64, 4), 4.0)
    write_lora(path, {name: bad}, {})
    assert any("not finite" in line for line in describe_file(path, open_lora(path))["warnings"])


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight", "a LoRA of a FLUX model"),
        ("transformer.transformer_blocks.0.attn.to_q.lora_A.weight", "a diffusion transformer"),
        ("lora_unet_joint_blocks_0_x.lora_down.weight", "Stable Diffusion 3"),
        ("model.diffusion_model.input_blocks.0.0.weight", "a whole checkpoint"),
        ("emb_params", "a textual inversion"),
        ("control_model.input_blocks.0.0.weight", "a ControlNet"),
        ("image_proj.proj.weight", "an IP-Adapter"),
    ],
)
def test_other_files_are_named(tmp_path: Path, key: str, told: str) -> None:
    save_file({key: torch.zeros(4, 4)}, tmp_path / "a.safetensors")
    with pytest.raises(ModelFileError, match=told):
        open_lora(tmp_path / "a.safetensors")


def test_pickles_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="there is no file"):
        open_lora(tmp_path / "a.safetensors")
    (tmp_path / "a.safetensors").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ModelFileError, match="is a pickle"):
        open_lora(tmp_path / "a.safetensors")
    (tmp_path / "a.ckpt").write_bytes(b"anything")
    with pytest.raises(ModelFileError, match="is a pickle"):
        open_lora(tmp_path / "a.ckpt")
    (tmp_path / "b.safetensors").write_bytes(b"\xff" * 40)
    with pytest.raises(ModelFileError, match="cannot be read"):
        open_lora(tmp_path / "b.safetensors")


@pytest.mark.parametrize(("width", "told"), [(768, "sd15"), (2048, "sdxl"), (1024, "")])
def test_the_family_follows_from_the_width_of_the_text(tmp_path: Path, width: int, told: str) -> None:
    layer = LoraLayer(torch.ones(2, width), torch.ones(320, 2), 2.0)
    name = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
    lora = as_file(tmp_path / "a.safetensors", {name: layer}, ss_base_model_version="sd_v1")
    if told:
        assert family_of(lora) == told
    else:
        with pytest.raises(ModelFileError, match="another family"):
            family_of(lora)


def test_a_whole_change_is_compressed(sd15: Bundle) -> None:
    found = compressed(loha(), (64, 64), RankChoice(1))
    assert 0 < found.lost < found.whole
