"""Every kind of LoRA file acts as its published equation says, and as in plain diffusers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import init_empty_weights
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from diffusers.loaders.lora_conversion_utils import (
    _convert_non_diffusers_lora_to_diffusers,
    _maybe_map_sgm_blocks_to_diffusers,
)
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.utils import logging as diffusers_logging
from peft import LoraConfig, get_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor, nn

from charaforge.diffusion.bundle import Bundle, load_bundle
from charaforge.diffusion.lora_adapters import Strength, activate, attach, detach
from charaforge.diffusion.lora_format import read_lora
from charaforge.diffusion.lora_names import UNET_PREFIX, Place, kohya_name, places
from charaforge.diffusion.model_configs import kept_shapes
from charaforge.diffusion.original_layout import unet_name
from tests.fixtures.tiny_loras import random_lora
from tests.fixtures.tiny_models import tiny_sd
from tests.fixtures.tiny_sdxl import tiny_sdxl

PIPELINES: dict[str, Any] = {"sd15": StableDiffusionPipeline, "sdxl": StableDiffusionXLPipeline}
BUILDERS: dict[str, Callable[[Path], Path]] = {"sd15": tiny_sd, "sdxl": tiny_sdxl}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {family: build(root / family) for family, build in BUILDERS.items()}


@pytest.fixture(params=BUILDERS)
def base(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Bundle:
    return load_bundle(folders[request.param], request.param)


@pytest.fixture
def quiet_diffusers() -> Iterator[None]:
    diffusers_logging.disable_progress_bar()
    yield
    diffusers_logging.enable_progress_bar()


@torch.no_grad()
def outputs(unet: nn.Module, encoders: tuple[nn.Module, ...]) -> tuple[Tensor, ...]:
    """What UNet and text encoders make of fixed inputs."""
    draw = torch.Generator().manual_seed(5)
    ids = torch.tensor([[600, *range(40, 115), 601]]) % 500
    width = int(unet.config.cross_attention_dim)  # type: ignore[union-attr,arg-type]
    channels = int(unet.config.in_channels)  # type: ignore[union-attr,arg-type]
    added = {"text_embeds": torch.randn((1, 48), generator=draw), "time_ids": torch.full((1, 6), 64.0)}
    latents = torch.randn((1, channels, 8, 8), generator=draw)
    states = torch.randn((1, 77, width), generator=draw)
    told = unet(latents, torch.tensor(300), states, added_cond_kwargs=added).sample
    return (told, *(e(ids, output_hidden_states=True).hidden_states[-1] for e in encoders))


def of_bundle(bundle: Bundle) -> tuple[Tensor, ...]:
    return outputs(bundle.unet, bundle.text_encoders)


def difference(one: tuple[Tensor, ...], two: tuple[Tensor, ...]) -> float:
    return max(float((a - b).abs().max()) for a, b in zip(one, two, strict=True))


def plain_diffusers(bundle: Bundle, folder: Path, file: Path, weight: float) -> tuple[Tensor, ...]:
    pipe = PIPELINES[bundle.family].from_pretrained(folder, local_files_only=True)
    pipe.load_lora_weights(str(file.parent), weight_name=file.name, adapter_name="a")
    pipe.set_adapters(["a"], [weight])
    encoders = [pipe.text_encoder, *([pipe.text_encoder_2] if bundle.family == "sdxl" else [])]
    return outputs(pipe.unet, tuple(encoders))


def acting(bundle: Bundle, file: Path, weight: Strength | float = 1.0) -> tuple[Tensor, ...]:
    attach(bundle, read_lora(file), "a")
    activate(bundle, {"a": weight})
    return of_bundle(bundle)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("quiet_diffusers")
def test_kohya_keys_as_in_plain_diffusers(base: Bundle, folders: dict[str, Path], tmp_path: Path) -> None:
    plain = of_bundle(base)
    file = random_lora(tmp_path / "a.safetensors", base, seed=1)
    if base.family == "sdxl":
        names = read_lora(file).layers
        assert any(name.startswith("lora_unet_input_blocks_3_1_transformer_blocks_1_") for name in names)
        assert any(name.startswith("lora_te2_text_model_encoder_layers_1_") for name in names)
    ours = acting(base, file, 0.7)
    assert all(float((a - b).abs().max()) > 0.01 for a, b in zip(ours, plain, strict=True))
    if base.family == "sd15":  # diffusers maps SDXL's kohya names for its full-size blocks only
        assert difference(ours, plain_diffusers(base, folders["sd15"], file, 0.7)) <= 1e-5


def test_kohya_names_of_full_size_sdxl_are_those_that_diffusers_reads() -> None:
    """Every layer of the published SDXL UNet that kohya's scripts train, through diffusers' own mapping."""
    with init_empty_weights():
        unet = UNet2DConditionModel.from_config(dict(kept_shapes("sdxl")["unet"]))
    paths = [
        path
        for path, module in unet.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d) and ("attentions" in path or "resnets" in path)
    ]
    ours = {kohya_name(UNET_PREFIX, unet_name(path, unet.config)): path for path in paths}
    assert sum("attentions" in path for path in paths) == 722  # as kohya's scripts count them
    assert len(ours) == len(paths) == 722 + 17 * 3 + 11  # resnets, and their shortcuts
    state = {f"{name}.lora_down.weight": torch.zeros(1, 1) for name in ours}
    state |= {f"{name}.lora_up.weight": torch.zeros(1, 1) for name in ours}
    state |= {f"{name}.alpha": torch.tensor(1.0) for name in ours}
    mapped = _maybe_map_sgm_blocks_to_diffusers(state, unet.config)
    converted, _ = _convert_non_diffusers_lora_to_diffusers(mapped)
    theirs = {
        re.sub(r"(\.processor\.(to_\w+)_lora|\.lora)\.(down|up)\.weight$", r".\2", key) for key in converted
    }
    assert {f"unet.{path}".replace(".to_out.0", ".to_out") for path in paths} == {
        key.rstrip(".") for key in theirs
    }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("quiet_diffusers")
@pytest.mark.parametrize("dora", [False, True])
@pytest.mark.parametrize("told", [False, True])
def test_peft_keys_as_in_plain_diffusers(
    base: Bundle, folders: dict[str, Path], tmp_path: Path, dora: bool, told: bool
) -> None:
    """Files that diffusers writes, with and without its settings in the header, against the live adapters."""
    pipe = PIPELINES[base.family].from_pretrained(folders[base.family], local_files_only=True)
    unet_targets = ["to_q", "to_out.0", "conv1", "ff.net.2"]
    parts = {"unet": unet_targets, "text_encoder": ["q_proj", "fc1"]}
    parts |= {"text_encoder_2": ["v_proj"]} if base.family == "sdxl" else {}
    layers, metadata = {}, {}
    torch.manual_seed(3)
    for part, targets in parts.items():
        alpha = 3 if told else 4  # without settings in the header alpha is the rank
        config = LoraConfig(
            r=4, lora_alpha=alpha, target_modules=targets, use_dora=dora, init_lora_weights=False
        )
        module = getattr(pipe, part)
        module.add_adapter(config, "x")
        layers[f"{part}_lora_layers"] = get_peft_model_state_dict(module, adapter_name="x")
        if told:
            metadata[f"{part}_lora_adapter_metadata"] = module.peft_config["x"].to_dict()
    PIPELINES[base.family].save_lora_weights(tmp_path, **layers, **metadata)
    file = tmp_path / "pytorch_lora_weights.safetensors"
    plain = of_bundle(base)
    ours = acting(base, file)
    assert difference(ours, plain) > 0.01
    assert (
        difference(ours, outputs(pipe.unet, tuple(getattr(pipe, part) for part in list(parts)[1:]))) <= 1e-5
    )
    if not dora:  # what diffusers writes of text encoders' DoRA it does not read back
        assert difference(ours, plain_diffusers(base, folders[base.family], file, 1.0)) <= 1e-5


def kron(a: Tensor, b: Tensor) -> Tensor:
    """The Kronecker product by its definition, of matrices; b may have axes of a kernel too."""
    out = torch.zeros(a.shape[0] * b.shape[0], a.shape[1] * b.shape[1], *b.shape[2:])
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            out[i * b.shape[0] : (i + 1) * b.shape[0], j * b.shape[1] : (j + 1) * b.shape[1]] = a[i, j] * b
    return out


def matrices(draw: torch.Generator, *shapes: tuple[int, ...]) -> list[Tensor]:
    return [torch.randn(shape, generator=draw) * 0.3 for shape in shapes]


def loha(weight: Tensor, draw: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
    out, rest = weight.shape[0], weight[0].numel()
    a1, b1, a2, b2 = matrices(draw, (out, 3), (3, rest), (out, 3), (3, rest))
    parts = {"hada_w1_a": a1, "hada_w1_b": b1, "hada_w2_a": a2, "hada_w2_b": b2, "alpha": torch.tensor(1.5)}
    change = 0.5 * ((a1 @ b1) * (a2 @ b2))
    return parts, change.view_as(weight)


def loha_with_cores(weight: Tensor, draw: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
    out, into = weight.shape[:2]
    kernel = weight.shape[2:]
    if not kernel:
        return loha(weight, draw)
    c1, a1, b1, c2, a2, b2 = matrices(draw, *(((3, 3, *kernel), (3, out), (3, into)) * 2))
    names = ("hada_t1", "hada_w1_a", "hada_w1_b", "hada_t2", "hada_w2_a", "hada_w2_b")
    parts = dict(zip(names, (c1, a1, b1, c2, a2, b2), strict=True))
    one, two = (
        sum(torch.einsum("o,i,kl->oikl", a[p], b[q], c[p, q]) for p in range(3) for q in range(3))
        for c, a, b in ((c1, a1, b1), (c2, a2, b2))
    )
    assert isinstance(one, Tensor)
    assert isinstance(two, Tensor)
    return parts, one * two


def lokr(weight: Tensor, draw: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
    out, into = weight.shape[:2]
    w1, a, b = matrices(draw, (2, 4), (out // 2, 3), (3, weight[0].numel() // 4))
    parts = {"lokr_w1": w1, "lokr_w2_a": a, "lokr_w2_b": b, "alpha": torch.tensor(1.5)}
    right = (a @ b).view(out // 2, into // 4, *weight.shape[2:])
    return parts, 0.5 * kron(w1, right)


def lokr_whole(weight: Tensor, draw: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
    out, into = weight.shape[:2]
    w1, w2 = matrices(draw, (4, 2), (out // 4, into // 2, *weight.shape[2:]))
    return {"lokr_w1": w1, "lokr_w2": w2, "alpha": torch.tensor(9.0)}, kron(w1, w2)


def locon(weight: Tensor, draw: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
    """Three convolutions one after the other: down 1 x 1, mid k x k, up 1 x 1."""
    out, into = weight.shape[:2]
    if weight.ndim == 2:
        return plain_lora(weight, draw)
    down, mid, up = matrices(draw, (3, into, 1, 1), (3, 3, *weight.shape[2:]), (out, 3, 1, 1))
    parts = {"lora_down.weight": down, "lora_mid.weight": mid, "lora_up.weight": up}
    change = torch.zeros_like(weight)
    for o in range(3):
        for i in range(3):
            change += torch.einsum("o,kl,i->oikl", up[:, o, 0, 0], mid[o, i], down[i, :, 0, 0])
    return {**parts, "alpha": torch.tensor(6.0)}, 2.0 * change


def plain_lora(weight: Tensor, draw: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
    rest = (1, 1) if weight.ndim == 4 else ()
    down, up = matrices(draw, (3, *weight.shape[1:]), (weight.shape[0], 3, *rest))
    parts = {"lora_down.weight": down, "lora_up.weight": up, "alpha": torch.tensor(1.5)}
    return parts, 0.5 * (up.flatten(1) @ down.flatten(1)).view_as(weight)


def full(weight: Tensor, draw: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
    (change,) = matrices(draw, tuple(weight.shape))
    return {"diff": change}, change


Kind = Callable[[Tensor, torch.Generator], tuple[dict[str, Tensor], Tensor]]
KINDS: tuple[Kind, ...] = (loha, loha_with_cores, lokr, lokr_whole, locon, plain_lora, full)


def dora(kind: Kind, per_output: bool) -> Kind:
    """The same with magnitudes: each row (or column) of W + D has the length that the file says."""

    def made(weight: Tensor, draw: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
        parts, change = kind(weight, draw)
        changed = weight + change
        rows = changed if per_output else changed.transpose(0, 1)
        lengths = torch.rand(rows.shape[0], generator=draw) + 0.5
        scaled = torch.stack([row / row.norm() * m for row, m in zip(rows, lengths, strict=True)])
        shape = [1] * weight.ndim
        shape[0 if per_output else 1] = -1
        new = scaled if per_output else scaled.transpose(0, 1)
        return {**parts, "dora_scale": lengths.view(shape)}, new - weight

    made.__name__ = f"dora_{kind.__name__}_{'out' if per_output else 'in'}"
    return made


ALL = (*KINDS, dora(plain_lora, True), dora(plain_lora, False), dora(loha, True), dora(locon, False))


def chosen(bundle: Bundle) -> list[Place]:
    """Some layers of every shape: attention, feed-forward, convolutions with strides, text."""
    ends = (
        "to_k",
        "ff_net_2",
        "conv1",
        "in_layers_2",
        "op",
        "downsamplers_0_conv",
        "proj_in",
        "fc1",
        "v_proj",
    )
    return [place for place in places(bundle) if place.name.endswith(ends)]


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_a_kind_acts_as_its_equation_says(
    base: Bundle, folders: dict[str, Path], tmp_path: Path, kind: Kind
) -> None:
    draw = torch.Generator().manual_seed(1)
    by_hand = load_bundle(folders[base.family], "by hand")
    tensors = {}
    for place in chosen(by_hand):
        weight = place.module.weight
        parts, change = kind(weight.detach(), draw)
        change = change * float(weight.norm() / change.norm()) if kind is full else change
        if kind is full:
            parts = {"diff": change.contiguous()}
        tensors |= {f"{place.name}.{part}": value.contiguous() for part, value in parts.items()}
        weight.data += 0.25 * change
    save_file(tensors, tmp_path / "a.safetensors")
    plain = of_bundle(base)
    ours = acting(base, tmp_path / "a.safetensors", 0.25)
    assert difference(ours, plain) > 0.1
    assert difference(ours, of_bundle(by_hand)) <= 1e-4
    activate(base, {"a": 0.0})
    assert difference(of_bundle(base), plain) == 0.0
    activate(base, {"a": 0.25})
    assert difference(of_bundle(base), ours) == 0.0
    detach(base, "a")
    assert difference(of_bundle(base), plain) == 0.0


def test_text_and_unet_have_weights_of_their_own(base: Bundle, tmp_path: Path) -> None:
    plain = of_bundle(base)
    both = acting(base, random_lora(tmp_path / "a.safetensors", base, seed=1), 0.5)
    activate(base, {"a": Strength(unet=0.5, text=0.0)})
    told = of_bundle(base)
    assert torch.equal(told[0], both[0])
    assert all(torch.equal(a, b) for a, b in zip(told[1:], plain[1:], strict=True))
    activate(base, {"a": Strength(unet=0.0, text=0.5)})
    told = of_bundle(base)
    assert torch.equal(told[0], plain[0])
    assert all(torch.equal(a, b) for a, b in zip(told[1:], both[1:], strict=True))


def test_blocks_have_weights_of_their_own(base: Bundle, tmp_path: Path) -> None:
    file = random_lora(tmp_path / "a.safetensors", base, seed=1)
    plain, whole = of_bundle(base), acting(base, file)
    blocks = {place.block for place in places(base)}
    assert {"BASE", "IN00", "IN01", "MID", "OUT00", "OUT03", ""} <= blocks
    activate(base, {"a": Strength(1.0, 1.0, dict.fromkeys(blocks, 0.0))})
    assert difference(of_bundle(base), plain) == 0.0
    activate(base, {"a": Strength(1.0, 1.0, {"MID": 0.0})})
    without = of_bundle(base)
    assert not torch.equal(without[0], whole[0])
    kept = [p for p in places(base) if p.block != "MID"]
    names = {alias for place in kept for alias in place.aliases}
    lora = read_lora(file)
    partly = {name: layer for name, layer in lora.layers.items() if name in names}
    detach(base, "a")
    attach(base, type(lora)(partly, {}, "", ""), "b")
    activate(base, {"b": 1.0})
    assert difference(of_bundle(base), without) == 0.0


def test_older_keys_of_diffusers(base: Bundle, tmp_path: Path) -> None:
    draw = torch.Generator().manual_seed(1)
    attention = next(p for p in places(base) if p.path.endswith("attn1.to_out.0"))
    query = next(p for p in places(base) if p.path.endswith("layers.0.self_attn.q_proj"))
    down, up, low, high = matrices(
        draw,
        (3, attention.module.weight.shape[1]),
        (attention.module.weight.shape[0], 3),
        (3, 32),
        (32, 3),
    )
    stem = attention.path.removesuffix(".to_out.0")
    text = "text_encoder.text_model.encoder.layers.0.self_attn"
    old = {
        f"unet.{stem}.processor.to_out_lora.down.weight": down,
        f"unet.{stem}.processor.to_out_lora.up.weight": up,
        f"{text}.to_q_lora.down.weight": low,
        f"{text}.to_q_lora.up.weight": high,
    }
    newer = {
        f"unet.{attention.path}.lora.down.weight": down,
        f"unet.{attention.path}.lora.up.weight": up,
        f"{text}.q_proj.lora_linear_layer.down.weight": low,
        f"{text}.q_proj.lora_linear_layer.up.weight": high,
    }
    seen = []
    for number, tensors in enumerate((old, newer)):
        save_file(tensors, tmp_path / f"{number}.safetensors", metadata={"note": json.dumps(number)})
        seen.append(acting(base, tmp_path / f"{number}.safetensors"))
        detach(base, "a")
    assert difference(seen[0], of_bundle(base)) > 0.001
    assert difference(*seen) == 0.0
    assert query.in_text_encoder
