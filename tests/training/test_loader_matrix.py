"""A trained LoRA's file acts as the adapter did in training, whoever loads it (issue 5, must show 4)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from diffusers.utils import logging as diffusers_logging
from safetensors.torch import load_file
from torch import Tensor, nn

from charaforge.diffusion.bundle import Bundle, load_bundle
from charaforge.diffusion.lora_adapters import activate, attach, detach
from charaforge.diffusion.lora_format import read_lora, write_lora
from charaforge.diffusion.lora_names import places
from charaforge.diffusion.lora_tools.convert import write_for_diffusers
from charaforge.training.export import kohya_layers
from charaforge.training.network import Adapter
from tests.fixtures.tiny_adapters import RANK, difference, outputs, trained
from tests.fixtures.tiny_models import tiny_sd
from tests.fixtures.tiny_sdxl import tiny_sdxl

PIPELINES: dict[str, Any] = {"sd15": StableDiffusionPipeline, "sdxl": StableDiffusionXLPipeline}
BUILDERS: dict[str, Callable[[Path], Path]] = {"sd15": tiny_sd, "sdxl": tiny_sdxl}
PARTS = {"unet": {}, "unet+te": {"text_encoder_train": True}}
SHAPES = {"lora": {}, "locon": {"conv_rank": 2}, "dora": {"use_dora": True, "conv_rank": 2}}
ALPHAS = {"alpha=rank": RANK, "alpha=1.5": 1.5}
MATRIX = list(itertools.product(BUILDERS, PARTS, SHAPES, ALPHAS))
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {family: build(root / family) for family, build in BUILDERS.items()}


@pytest.fixture(scope="module")
def pipes(folders: dict[str, Path]) -> Iterator[dict[str, Any]]:
    diffusers_logging.disable_progress_bar()
    yield {
        family: pipeline.from_pretrained(folders[family], local_files_only=True)
        for family, pipeline in PIPELINES.items()
    }
    diffusers_logging.enable_progress_bar()


@pytest.fixture(scope="module")
def engines(folders: dict[str, Path]) -> dict[str, Bundle]:
    return {family: load_bundle(folder, "base") for family, folder in folders.items()}


def of_bundle(bundle: Bundle) -> list[Tensor]:
    return outputs(bundle.unet, bundle.text_encoders)


def in_our_engine(bundle: Bundle, file: Path) -> list[Tensor]:
    attach(bundle, read_lora(file), "a")
    activate(bundle, {"a": 1.0})
    found = of_bundle(bundle)
    detach(bundle, "a")
    return found


def in_diffusers(pipe: Any, file: Path, encoders: tuple[nn.Module, ...] = ()) -> list[Tensor]:
    pipe.load_lora_weights(str(file.parent), weight_name=file.name, adapter_name="a")
    own = [pipe.text_encoder, *([pipe.text_encoder_2] if hasattr(pipe, "text_encoder_2") else [])]
    try:
        return outputs(pipe.unet, encoders or own)
    finally:
        pipe.unload_lora_weights()


@torch.no_grad()
def by_the_published_equation(folder: Path, file: Path) -> list[Tensor]:
    """W' = m (W + alpha/rank up down) / |W + …|, of the file's tensors as they are, put into the weights."""
    bundle = load_bundle(folder, "base")
    known = {place.name: place.module for place in places(bundle)}
    tensors = load_file(file)
    for name in {key.split(".")[0] for key in tensors}:
        down, up = (tensors[f"{name}.lora_{side}.weight"].float() for side in ("down", "up"))
        weight = known[name].weight
        scale = float(tensors[f"{name}.alpha"]) / down.shape[0]
        rows = weight.flatten(1) + scale * (up.flatten(1) @ down.flatten(1))
        lengths = rows.norm(dim=1, keepdim=True)
        weight.data = (tensors[f"{name}.dora_scale"].float().flatten(1) / lengths * rows).view_as(weight)
    return of_bundle(bundle)


def rounded(adapter: Adapter, dtype: torch.dtype) -> None:
    adapter.load_state({name: w.to(dtype).float() for name, w in adapter.state().items()})


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("family", "part", "shape", "alpha"), MATRIX, ids=lambda value: str(value))
def test_matrix(
    folders: dict[str, Path],
    engines: dict[str, Bundle],
    pipes: dict[str, Any],
    tmp_path: Path,
    family: str,
    part: str,
    shape: str,
    alpha: str,
) -> None:
    folder, file = folders[family], tmp_path / "a.safetensors"
    base, engine = load_bundle(folder, "base"), engines[family]
    plain = of_bundle(base)
    adapter = trained(base, alpha=ALPHAS[alpha], **PARTS[part], **SHAPES[shape])
    in_training = of_bundle(base)
    assert difference(in_training, plain) > 0.01
    write_lora(file, kohya_layers(adapter), {})
    assert difference(in_our_engine(engine, file), in_training) <= TOLERANCE
    if shape == "dora":  # diffusers leaves `dora_scale` of kohya's files out: it gets its own keys
        assert difference(by_the_published_equation(folder, file), in_training) <= TOLERANCE
        write_for_diffusers(tmp_path / "b.safetensors", read_lora(file), engine)
        # what diffusers writes of text encoders' DoRA it does not read back: theirs come from the training
        there = in_diffusers(pipes[family], tmp_path / "b.safetensors", base.text_encoders)
        assert difference(there, in_training) <= TOLERANCE
    else:
        assert difference(in_diffusers(pipes[family], file), in_training) <= TOLERANCE

    rounded(adapter, torch.float16)
    in_half = of_bundle(base)
    write_lora(file, kohya_layers(adapter), {}, torch.float16)
    assert difference(in_our_engine(engine, file), in_half) <= TOLERANCE
    if shape != "dora":
        assert difference(in_diffusers(pipes[family], file), in_half) <= TOLERANCE
    print(f"rounding to fp16 moves the output by {difference(in_half, in_training):.1e}")  # noqa: T201


LYCORIS = {
    "loha": {"network_type": "loha", "conv_rank": 2, "alpha": 1.5},
    "lokr": {"network_type": "lokr", "rank": 2, "conv_rank": 1, "alpha": 1.5},
    "lokr of two low ranks": {
        "network_type": "lokr", "rank": 1, "lokr_decompose_both": True, "lokr_factor": 16, "alpha": 1.5
    },
    "lokr of whole factors": {"network_type": "lokr", "rank": 64, "lokr_factor": 8, "alpha": 1.5},
    "loha with rsLoRA": {"network_type": "loha", "alpha": 1.5, "use_rslora": True},
    "rslora": {"use_rslora": True, "alpha": 1.5, "rank": 8},
}  # fmt: skip


@pytest.mark.parametrize("family", BUILDERS)
@pytest.mark.parametrize("kind", LYCORIS)
def test_other_kinds_in_our_engine(
    folders: dict[str, Path], engines: dict[str, Bundle], tmp_path: Path, family: str, kind: str
) -> None:
    file = tmp_path / "a.safetensors"
    base = load_bundle(folders[family], "base")
    plain = of_bundle(base)
    adapter = trained(base, text_encoder_train=True, **LYCORIS[kind])
    in_training = of_bundle(base)
    assert difference(in_training, plain) > 1e-3
    write_lora(file, kohya_layers(adapter), {})
    assert difference(in_our_engine(engines[family], file), in_training) <= TOLERANCE


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", BUILDERS)
def test_rslora_has_the_right_strength_in_diffusers_too(
    folders: dict[str, Path], pipes: dict[str, Any], tmp_path: Path, family: str
) -> None:
    """alpha / sqrt(rank) is folded into the file's alpha, which fp16 would round: it is 1.5 sqrt(8)."""
    file = tmp_path / "a.safetensors"
    base = load_bundle(folders[family], "base")
    adapter = trained(base, use_rslora=True, alpha=1.5, rank=8)
    rounded(adapter, torch.float16)
    write_lora(file, kohya_layers(adapter), {}, torch.float16)
    assert difference(in_diffusers(pipes[family], file), of_bundle(base)) <= TOLERANCE
