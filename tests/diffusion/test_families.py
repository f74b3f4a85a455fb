"""SDXL beside SD1.x: loading, its added conditions, the types of its VAE, and other VAEs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from safetensors.torch import load_file, save_file
from torch import Tensor

from charaforge.diffusion.added_conditions import PictureSize, added_conditions
from charaforge.diffusion.bundle import Bundle, fingerprint, load_bundle
from charaforge.diffusion.single_file_export import write_single_file
from charaforge.diffusion.vae import load_vae, with_vae
from charaforge.errors import ModelFileError
from tests.fixtures.tiny_models import tiny_sd
from tests.fixtures.tiny_sdxl import tiny_sdxl


@pytest.fixture(scope="module")
def sdxl_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_sdxl(tmp_path_factory.mktemp("models") / "tiny-sdxl")


@pytest.fixture(scope="module")
def sdxl(sdxl_folder: Path) -> Bundle:
    return load_bundle(sdxl_folder, "tiny-sdxl")


@torch.no_grad()
def encoded(bundle: Bundle, prompt: str) -> tuple[Tensor, Tensor]:
    """States (1, 77, D) and pooled states (1, D2) as the SDXL paper joins them: next to last layers."""
    states, pooled = [], torch.empty(0)
    for tokenizer, encoder in zip(bundle.tokenizers, bundle.text_encoders, strict=True):
        ids = torch.tensor([tokenizer(prompt, padding="max_length", max_length=77).input_ids])
        told = encoder(ids, output_hidden_states=True)
        states.append(told.hidden_states[-2])
        pooled = told[0]
    return torch.cat(states, dim=-1), pooled


@torch.no_grad()
@pytest.mark.filterwarnings("ignore")
def test_sdxl_draws_what_plain_diffusers_draws(sdxl: Bundle, sdxl_folder: Path) -> None:
    """One Euler step by hand against the pipeline's own, with sizes that differ from the picture's."""
    noise = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(1))
    pipe: Any = StableDiffusionXLPipeline.from_pretrained(sdxl_folder, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    sizes: dict[str, Any] = {"original_size": (48, 40), "crops_coords_top_left": (3, 5)}
    told: dict[str, Any] = {"guidance_scale": 1.0, "output_type": "latent", "target_size": (64, 64), **sizes}
    theirs = pipe("blue hair girl", latents=noise, num_inference_steps=1, **told).images
    states, pooled = encoded(sdxl, "blue hair girl")
    added = added_conditions(sdxl, pooled, PictureSize(64, 64, original=(40, 48), crop=(5, 3)))
    assert added["time_ids"].tolist() == [[48, 40, 3, 5, 64, 64]]
    scheduler = pipe.scheduler
    scheduler.set_timesteps(1)
    latents = noise * scheduler.init_noise_sigma
    timestep = scheduler.timesteps[0]
    output = sdxl.unet(
        scheduler.scale_model_input(latents, timestep), timestep, states, added_cond_kwargs=added
    ).sample
    ours = scheduler.step(output, timestep, latents).prev_sample
    assert float((ours - theirs).abs().max()) <= 1e-5
    other = added_conditions(sdxl, pooled, PictureSize(64, 64))
    assert not torch.equal(sdxl.unet(latents, timestep, states, added_cond_kwargs=other).sample, output)


def test_sd15_has_no_added_conditions(tmp_path: Path, sdxl: Bundle) -> None:
    assert added_conditions(load_bundle(tiny_sd(tmp_path / "sd"), "sd"), None, PictureSize(64, 64)) == {}
    with pytest.raises(ValueError, match="pooled"):
        added_conditions(sdxl, None, PictureSize(64, 64))


def test_a_missing_second_text_encoder_is_named(sdxl_folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(sdxl_folder, tmp_path / "copy")
    shutil.rmtree(copy / "text_encoder_2")
    with pytest.raises(ModelFileError, match="lacks text_encoder_2"):
        load_bundle(copy, "copy")


def test_the_fingerprint_follows_the_second_text_encoder(sdxl_folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(sdxl_folder, tmp_path / "copy")
    assert fingerprint(copy) == fingerprint(sdxl_folder)
    (copy / "text_encoder_2" / "config.json").write_text("{}", encoding="utf-8")
    assert fingerprint(copy) != fingerprint(sdxl_folder)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("single", [False, True])
def test_types_of_weights(
    sdxl_folder: Path, sdxl: Bundle, tmp_path: Path, dtype: torch.dtype, single: bool
) -> None:
    path = sdxl_folder
    if single:
        path = tmp_path / "xl.safetensors"
        write_single_file(path, sdxl)
    bundle = load_bundle(path, "xl", dtype=dtype)
    upcast = torch.float32 if dtype == torch.float16 else dtype
    assert (bundle.dtype, bundle.vae.dtype) == (dtype, upcast)
    assert {encoder.dtype for encoder in bundle.text_encoders} == {dtype}
    assert torch.equal(bundle.vae.decoder.conv_in.weight, sdxl.vae.decoder.conv_in.weight.to(upcast))


def test_a_repaired_vae_stays_in_float16(sdxl_folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(sdxl_folder, tmp_path / "copy")
    config = json.loads((copy / "vae" / "config.json").read_text())
    (copy / "vae" / "config.json").write_text(json.dumps({**config, "force_upcast": False}))
    assert load_bundle(copy, "copy", dtype=torch.float16).vae.dtype == torch.float16


def test_sd15_is_whole_in_float16(tmp_path: Path) -> None:
    assert load_bundle(tiny_sd(tmp_path / "sd"), "sd", dtype=torch.float16).vae.dtype == torch.float16


def test_a_card_corrects_the_prediction(sdxl_folder: Path) -> None:
    card = {"prediction_type": "v_prediction", "zero_terminal_snr": True}
    bundle = load_bundle(sdxl_folder, "xl", card=card)
    assert bundle.schedule.prediction == "v_prediction"
    assert float(bundle.schedule.alphas_cumprod[-1]) == 0.0
    with pytest.raises(ModelFileError, match="epsilonn"):
        load_bundle(sdxl_folder, "xl", card={"prediction_type": "epsilonn"})


def other_vae(tmp_path: Path, kind: str) -> Path:
    """The VAE of another tiny SDXL: a folder, a file of its own with two layouts, or in a checkpoint."""
    folder = tiny_sdxl(tmp_path / "other", seed=9)
    if kind == "folder":
        return folder / "vae"
    file = tmp_path / f"{kind}.safetensors"
    if kind == "diffusers":
        shutil.copy(folder / "vae" / "diffusion_pytorch_model.safetensors", file)
        return file
    write_single_file(file, load_bundle(folder, "other"))
    if kind == "original":
        bare = {
            k.removeprefix("first_stage_model."): v for k, v in load_file(file).items() if "first_st" in k
        }
        save_file(bare, file)
    return file


@pytest.mark.parametrize("kind", ["folder", "diffusers", "original", "checkpoint"])
def test_another_vae_takes_the_place_of_the_own(sdxl: Bundle, tmp_path: Path, kind: str) -> None:
    vae = load_vae(other_vae(tmp_path, kind), "other", sdxl)
    expected = load_bundle(tmp_path / "other", "other").vae.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in vae.state_dict().items())
    changed = with_vae(sdxl, vae)
    assert changed.unet is sdxl.unet
    assert changed.vae is vae
    assert not vae.training


def test_a_vae_of_other_latents_is_refused(sdxl: Bundle, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"8 latent channels.*4"):
        load_vae(tiny_sd(tmp_path / "sd") / "vae", "eight", sdxl)
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors")
    with pytest.raises(ModelFileError, match="no VAE"):
        load_vae(tmp_path / "a.safetensors", "a", sdxl)
