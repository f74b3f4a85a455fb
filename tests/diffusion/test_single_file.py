"""Checkpoints in one file: ours load in plain diffusers and in our loader without a difference."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import init_empty_weights
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from charaforge.diffusion.bundle import Bundle, load_bundle
from charaforge.diffusion.clip_vocabulary import clip_tokenizer
from charaforge.diffusion.model_configs import kept_shapes
from charaforge.diffusion.original_layout import open_clip_name, unet_name, vae_name
from charaforge.diffusion.single_file_export import write_single_file
from charaforge.diffusion.single_file_kind import family_of_keys
from charaforge.errors import ModelFileError
from charaforge.warehouse.cards import read_card
from tests.fixtures.tiny_models import tiny_sd
from tests.fixtures.tiny_sdxl import tiny_sdxl

PIPELINES = {"sd15": StableDiffusionPipeline, "sdxl": StableDiffusionXLPipeline}


def mini_sd(folder: Path) -> Path:
    return Path(str(resources.files("charaforge"))) / "mini" / "weights" / "mini-sd"


MODELS: dict[str, Callable[[Path], Path]] = {"mini-sd": mini_sd, "tiny-sd": tiny_sd, "tiny-sdxl": tiny_sdxl}


def weights(*modules: nn.Module) -> list[Tensor]:
    return [value for module in modules for _, value in sorted(module.state_dict().items())]


def difference(one: list[Tensor], two: list[Tensor]) -> float:
    return max(float((a - b).abs().max()) for a, b in zip(one, two, strict=True))


def of_bundle(bundle: Bundle) -> list[Tensor]:
    return weights(bundle.unet, bundle.vae, *bundle.text_encoders)


@pytest.fixture(params=MODELS)
def exported(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Bundle, Path, Path]:
    """A bundle, its folder, and the single file written of it."""
    folder = MODELS[request.param](tmp_path / "folder")
    bundle = load_bundle(folder, "model")
    write_single_file(tmp_path / "model.safetensors", bundle)
    return bundle, folder, tmp_path / "model.safetensors"


@pytest.mark.filterwarnings("ignore")
def test_an_exported_file_loads_in_plain_diffusers(exported: tuple[Bundle, Path, Path]) -> None:
    bundle, folder, file = exported
    pipe: Any = PIPELINES[bundle.family].from_single_file(file, config=str(folder), local_files_only=True)
    encoders = [pipe.text_encoder, *([pipe.text_encoder_2] if bundle.family == "sdxl" else [])]
    assert difference(of_bundle(bundle), weights(pipe.unet, pipe.vae, *encoders)) == 0.0


def test_an_exported_file_comes_back_whole(exported: tuple[Bundle, Path, Path]) -> None:
    bundle, _, file = exported
    again = load_bundle(file, "model")
    assert difference(of_bundle(bundle), of_bundle(again)) == 0.0
    assert torch.equal(again.schedule.alphas_cumprod, bundle.schedule.alphas_cumprod)
    assert again.schedule.prediction == bundle.schedule.prediction
    assert again.vae_config["scaling_factor"] == bundle.vae_config["scaling_factor"]
    for mine, theirs in zip(again.tokenizers, bundle.tokenizers, strict=True):
        told: dict[str, Any] = {"padding": "max_length", "max_length": 77}
        assert mine("zxq girl, née", **told).input_ids == theirs("zxq girl, née", **told).input_ids
    ids = torch.tensor([bundle.tokenizers[-1]("zxq girl", padding="max_length", max_length=77).input_ids])
    with torch.no_grad():
        for one, two in zip(bundle.text_encoders, again.text_encoders, strict=True):
            assert torch.allclose(one(ids)[0], two(ids)[0], atol=1e-6)  # sums depend on alignment in memory


def test_what_renderers_need_of_a_card_is_in_the_header(tmp_path: Path) -> None:
    card = {"max_side": 128, "upscaler": "mini-upscaler", "measured": {"real_hair": 1.0}}
    write_single_file(tmp_path / "a.safetensors", load_bundle(tiny_sd(tmp_path / "a"), "a"), card)
    told = read_card(tmp_path / "a.safetensors")
    assert (told["max_side"], told["upscaler"]) == ("128", "mini-upscaler")
    assert "measured" not in told


def published_keys(family: str) -> set[str]:
    """Keys of a full-size checkpoint, by the published layout's own rules, written out block by block."""
    levels = {"sd15": (1, 1, 1, 0), "sdxl": (0, 2, 10)}[family]  # transformer layers per level
    middle = {"sd15": 1, "sdxl": 10}[family]
    keys = {f"time_embed.{n}" for n in (0, 2)} | {"input_blocks.0.0", "out.0", "out.2"}
    keys |= {"label_emb.0.0", "label_emb.0.2"} if family == "sdxl" else set()
    resnet = ("in_layers.0", "in_layers.2", "emb_layers.1", "out_layers.0", "out_layers.3")

    def transformer(at: str, depth: int) -> set[str]:
        parts = [f"attn{n}.{p}" for n in (1, 2) for p in ("to_q", "to_k", "to_v", "to_out.0")]
        parts += ["ff.net.0.proj", "ff.net.2", "norm1", "norm2", "norm3"]
        return {f"{at}.{end}" for end in ("norm", "proj_in", "proj_out")} | {
            f"{at}.transformer_blocks.{n}.{part}" for n in range(depth) for part in parts
        }

    place, width = 1, 1
    widths = {"sd15": (1, 2, 4, 4), "sdxl": (1, 2, 4)}[family]
    stack = [1]
    for level, depth in enumerate(levels):
        for _ in range(2):
            keys |= {f"input_blocks.{place}.0.{part}" for part in resnet}
            keys |= {f"input_blocks.{place}.0.skip_connection"} if width != widths[level] else set()
            keys |= transformer(f"input_blocks.{place}.1", depth) if depth else set()
            width = widths[level]
            stack.append(width)
            place += 1
        if level < len(levels) - 1:
            keys.add(f"input_blocks.{place}.0.op")
            stack.append(width)
            place += 1
    keys |= {f"middle_block.{n}.{part}" for n in (0, 2) for part in resnet}
    keys |= transformer("middle_block.1", middle)
    place = 0
    for level in reversed(range(len(levels))):
        for layer in range(3):
            stack.pop()
            keys |= {f"output_blocks.{place}.0.{part}" for part in (*resnet, "skip_connection")}
            keys |= transformer(f"output_blocks.{place}.1", levels[level]) if levels[level] else set()
            if level and layer == 2:
                keys.add(f"output_blocks.{place}.{2 if levels[level] else 1}.conv")
            place += 1
    return keys


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_full_size_unets_have_the_published_names(family: str) -> None:
    with init_empty_weights():
        unet = UNet2DConditionModel.from_config(dict(kept_shapes(family)["unet"]))
    keys = [unet_name(key, unet.config) for key in unet.state_dict()]
    assert len(set(keys)) == len(keys) == {"sd15": 686, "sdxl": 1680}[family]
    assert {key.rpartition(".")[0] for key in keys} == published_keys(family)


def test_full_size_vae_has_the_published_names() -> None:
    with init_empty_weights():
        vae = AutoencoderKL.from_config(dict(kept_shapes("sd15")["vae"]))
    keys = {vae_name(key, vae.config): tuple(value.shape) for key, value in vae.state_dict().items()}
    assert len(keys) == 248
    assert keys["encoder.down.1.block.0.nin_shortcut.weight"] == (256, 128, 1, 1)
    assert keys["decoder.up.3.block.0.conv1.weight"] == (512, 512, 3, 3)
    assert keys["decoder.up.0.block.0.nin_shortcut.weight"] == (128, 256, 1, 1)
    for key in (
        "encoder.mid.attn_1.proj_out.bias",
        "decoder.mid.attn_1.norm.weight",
        "decoder.norm_out.bias",
    ):
        assert key in keys
    assert not any("_blocks" in key or "samplers" in key or "to_" in key for key in keys)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("text_model.embeddings.token_embedding.weight", "token_embedding.weight"),
        ("text_model.embeddings.position_embedding.weight", "positional_embedding"),
        ("text_model.encoder.layers.31.self_attn.k_proj.bias", "transformer.resblocks.31.attn.in_proj_bias"),
        (
            "text_model.encoder.layers.0.self_attn.out_proj.weight",
            "transformer.resblocks.0.attn.out_proj.weight",
        ),
        ("text_model.encoder.layers.7.mlp.fc2.weight", "transformer.resblocks.7.mlp.c_proj.weight"),
        ("text_model.encoder.layers.7.layer_norm1.bias", "transformer.resblocks.7.ln_1.bias"),
        ("text_model.final_layer_norm.weight", "ln_final.weight"),
        ("text_projection.weight", "text_projection"),
    ],
)
def test_names_of_open_clip(ours: str, theirs: str) -> None:
    assert open_clip_name(ours) == theirs


def test_clips_vocabulary() -> None:
    assert len(clip_tokenizer()) == 49408
    assert clip_tokenizer()("a photo of a cat").input_ids == [49406, 320, 1125, 539, 320, 2368, 49407]
    padded = clip_tokenizer("!")("a cat", padding="max_length", max_length=6).input_ids
    assert padded == [49406, 320, 2368, 49407, 0, 0]


def rewritten(source: Path, target: Path, drop: str = "", **more: Tensor) -> Path:
    tensors = {key: value for key, value in load_file(source).items() if not (drop and key.startswith(drop))}
    header = json.loads(source.read_bytes()[8 : 8 + int.from_bytes(source.read_bytes()[:8], "little")])
    metadata = {k: v for k, v in header["__metadata__"].items() if not k.startswith("modelspec.")}
    save_file(tensors | more, target, metadata=metadata)
    return target


@pytest.mark.parametrize(("keys", "zero_snr"), [(("v_pred",), False), (("v_pred", "ztsnr"), True)])
def test_markers_of_velocity_are_read(tmp_path: Path, keys: tuple[str, ...], zero_snr: bool) -> None:
    write_single_file(tmp_path / "eps.safetensors", load_bundle(tiny_sdxl(tmp_path / "xl"), "xl"))
    marked = rewritten(
        tmp_path / "eps.safetensors", tmp_path / "v.safetensors", **{key: torch.empty(0) for key in keys}
    )
    assert load_bundle(tmp_path / "eps.safetensors", "eps").schedule.prediction == "epsilon"
    bundle = load_bundle(marked, "v")
    assert bundle.schedule.prediction == "v_prediction"
    assert (float(bundle.schedule.alphas_cumprod[-1]) == 0.0) is zero_snr
    assert (bundle.scheduler_config["timestep_spacing"] == "trailing") is zero_snr
    card: Mapping[str, Any] = {"prediction_type": "epsilon", "zero_terminal_snr": False}
    assert load_bundle(marked, "v", card=card).schedule.prediction == "epsilon"


@pytest.mark.parametrize(
    ("drop", "message"),
    [
        ("first_stage_model.", "no first_stage_model"),
        ("conditioner.embedders.1.", "no conditioner.embedders.1"),
        ("conditioner.", "no base model"),
        ("model.diffusion_model.middle_block.1.proj_in", "proj_in.weight is missing"),
    ],
)
def test_incomplete_files_are_refused(tmp_path: Path, drop: str, message: str) -> None:
    write_single_file(tmp_path / "xl.safetensors", load_bundle(tiny_sdxl(tmp_path / "xl"), "xl"))
    with pytest.raises(ModelFileError, match=message):
        load_bundle(rewritten(tmp_path / "xl.safetensors", tmp_path / "cut.safetensors", drop), "cut")


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("cond_stage_model.model.ln_final.bias", "2.x"),
        ("conditioner.embedders.0.model.ln_final.bias", "refiner"),
        ("lora_unet_x.alpha", "LoRA"),
        ("model.diffusion_model.joint_blocks.0.x", "3"),
        ("decoder.conv_in.weight", "a VAE"),
    ],
)
def test_other_kinds_of_file_are_named(key: str, kind: str) -> None:
    with pytest.raises(ModelFileError, match=kind):
        family_of_keys([key], Path("some.safetensors"))


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    write_single_file(tmp_path / "sd.safetensors", load_bundle(tiny_sd(tmp_path / "sd"), "sd"))
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "sd.safetensors").read_bytes()[:-100])
    with pytest.raises(ModelFileError, match=r"cut\.safetensors cannot be read"):
        load_bundle(tmp_path / "cut.safetensors", "cut")
