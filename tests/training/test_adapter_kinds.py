"""What is trained: layers, ranks, rates, dropouts, running means, limits; tiny models and real shapes."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from charaforge.diffusion.bundle import Bundle, load_bundle
from charaforge.diffusion.lora_tools.layer_table import Skeleton, published
from charaforge.errors import UnknownNameError, UsageError
from charaforge.training.adapters.layers import TrainedLayer
from charaforge.training.adapters.norms import change_norm
from charaforge.training.adapters.targets import text_targets, unet_targets
from charaforge.training.network import Adapter
from tests.fixtures.tiny_adapters import difference, move, outputs, settings, trained
from tests.fixtures.tiny_models import tiny_sd
from tests.fixtures.tiny_sdxl import tiny_sdxl

LEAVES = [f"attn{n}_to_{to}" for n in (1, 2) for to in ("q", "k", "v", "out_0")] + [
    "ff_net_0_proj",
    "ff_net_2",
]
SDXL_BLOCKS = {
    **{f"input_blocks_{n}_1": 2 for n in (4, 5)},
    **{f"input_blocks_{n}_1": 10 for n in (7, 8)},
    "middle_block_1": 10,
    **{f"output_blocks_{n}_1": 10 for n in (0, 1, 2)},
    **{f"output_blocks_{n}_1": 2 for n in (3, 4, 5)},
}
SD15_BLOCKS = {
    **{f"down_blocks_{level}_attentions_{n}": 1 for level in range(3) for n in range(2)},
    "mid_block_attentions_0": 1,
    **{f"up_blocks_{level}_attentions_{n}": 1 for level in (1, 2, 3) for n in range(3)},
}
PUBLISHED = {
    "sd15": (SD15_BLOCKS, {"lora_te_": 12}, (192, 72)),
    "sdxl": (SDXL_BLOCKS, {"lora_te1_": 12, "lora_te2_": 32}, (722, 72, 192)),
}
WORDS = [f"self_attn_{to}_proj" for to in ("q", "k", "v", "out")] + ["mlp_fc1", "mlp_fc2"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {"sd15": tiny_sd(root / "sd15"), "sdxl": tiny_sdxl(root / "sdxl")}


@pytest.fixture
def sd15(folders: dict[str, Path]) -> Bundle:
    return load_bundle(folders["sd15"], "tiny-sd")


@pytest.fixture
def sdxl(folders: dict[str, Path]) -> Bundle:
    return load_bundle(folders["sdxl"], "tiny-sdxl")


def of(bundle: Bundle) -> list[Tensor]:
    return outputs(bundle.unet, bundle.text_encoders)


def names_of(model: Skeleton, **told: Any) -> list[list[str]]:
    config, shape = settings(**told), model.unet.config
    words = zip(("text_encoder", "text_encoder_2"), model.text_encoders, strict=False)
    found = [unet_targets(model.unet, config), *(text_targets(e, part, shape, config) for part, e in words)]
    return [[target.name for target in targets] for targets in found]


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_full_size_models_have_kohyas_layers_under_kohyas_names(family: Any) -> None:
    blocks, encoders, counts = PUBLISHED[family]
    expected = {f"lora_unet_{block}_{leaf}" for block in blocks for leaf in ("proj_in", "proj_out")}
    for block, depth in blocks.items():
        expected |= {
            f"lora_unet_{block}_transformer_blocks_{n}_{leaf}" for n in range(depth) for leaf in LEAVES
        }
    unet, *words = names_of(published(family))
    assert set(unet) == expected
    for (prefix, depth), found in zip(encoders.items(), words, strict=True):
        layers = f"{prefix}text_model_encoder_layers"
        assert set(found) == {f"{layers}_{n}_{word}" for n in range(depth) for word in WORDS}
    assert tuple(len(part) for part in (unet, *words)) == counts


@pytest.mark.parametrize(
    ("family", "rank", "megabytes"),
    [
        ("sd15", 8, 7),
        ("sd15", 16, 14),
        ("sd15", 32, 27),
        ("sdxl", 8, 43),
        ("sdxl", 16, 85),
        ("sdxl", 32, 170),
    ],
)
def test_files_are_as_large_as_peers_files(family: Any, rank: int, megabytes: int) -> None:
    unet = published(family).unet
    weights = [unet.get_submodule(t.path).weight for t in unet_targets(unet, settings(rank=rank))]
    size = 2 * sum(rank * (w.shape[0] + w[0].numel()) for w in weights)
    assert size / 2**20 == pytest.approx(megabytes, abs=5.5) or size / 1e6 == pytest.approx(
        megabytes, rel=0.1
    )


def test_which_layers(sd15: Bundle) -> None:
    leaves = {t.path.rsplit(".", 1)[-1] for t in unet_targets(sd15.unet, settings(train_layers="attention"))}
    assert leaves == {"to_q", "to_k", "to_v", "0"}
    full = unet_targets(sd15.unet, settings(train_layers="full", alpha=2))
    spatial = {t.path: (t.rank, t.alpha) for t in full if "resnets" in t.path or "samplers" in t.path}
    assert spatial["down_blocks.0.resnets.0.conv1"] == (4, 2.0)
    assert "down_blocks.0.downsamplers.0.conv" in spatial


def test_blocks_have_ranks_alphas_and_rates_of_their_own(sdxl: Bundle) -> None:
    told = {"block_ranks": {"MID": 8, "OUT": 2, "IN03": 0}, "block_alphas": {"MID": 3}}
    found = unet_targets(sdxl.unet, settings(**told, block_lr_factors={"OUT00": 0.5}))
    assert {t.block for t in found} == {"MID", "OUT00", "OUT01"}
    by_block = {t.block: (t.rank, t.alpha, t.rate_factor) for t in found}
    assert by_block == {"MID": (8, 3.0, 1.0), "OUT00": (2, 2.0, 0.5), "OUT01": (2, 2.0, 1.0)}
    assert all(t.name.startswith("lora_unet_output_blocks_0_1_") for t in found if t.block == "OUT00")


@pytest.mark.parametrize("key", ["block_ranks", "block_alphas", "block_lr_factors"])
def test_an_unknown_block_brings_the_nearest(sd15: Bundle, key: str) -> None:
    with pytest.raises(UnknownNameError, match="OUT0"):
        unet_targets(sd15.unet, settings(**{key: {"OUT7": 2}}))


def test_groups_for_the_optimiser(sdxl: Bundle) -> None:
    told = {"text_encoder_train": True, "lora_plus_ratio": 16, "block_lr_factors": {"MID": 0.5}}
    adapter = Adapter(sdxl.unet, sdxl.text_encoders, settings(**told), torch.float32)
    groups = {(g.part, g.block, g.role): g.rate_factor for g in adapter.groups()}
    assert groups["unet", "MID", "up"] == 8.0
    assert groups["unet", "MID", ""] == 0.5
    assert groups["unet", "OUT00", "up"] == 16.0
    assert groups["text_encoder_2", "", ""] == 1.0
    assert sum(w.numel() for g in adapter.groups() for w in g.weights) == adapter.size
    plain = Adapter(load_like(sdxl).unet, [], settings(), torch.float32).groups()
    assert [(g.part, g.block, g.role, g.rate_factor) for g in plain] == [("unet", "", "", 1.0)]


def load_like(bundle: Bundle) -> Any:
    class Copy:
        unet = copy.deepcopy(bundle.unet)

    for _, layer in list(Copy.unet.named_modules()):
        for name, child in list(layer.named_children()):
            if hasattr(child, "base_layer"):
                setattr(layer, name, child.base_layer)
    return Copy


@pytest.mark.parametrize(
    ("told", "parts"),
    [
        ({}, {"unet"}),
        ({"text_encoder_train": True}, {"unet", "text_encoder", "text_encoder_2"}),
        ({"text_encoder_train": True, "text_encoder_2_train": False}, {"unet", "text_encoder"}),
        ({"text_encoder_2_train": True, "train_unet": False}, {"text_encoder_2"}),
    ],
)
def test_parts(sdxl: Bundle, told: dict[str, Any], parts: set[str]) -> None:
    adapter = Adapter(sdxl.unet, sdxl.text_encoders, settings(**told), torch.float32)
    assert {layer.part for layer in adapter.layers} == parts


def test_a_second_text_encoder_that_is_not_there(sd15: Bundle) -> None:
    with pytest.raises(UsageError, match="one text encoder"):
        Adapter(sd15.unet, sd15.text_encoders, settings(text_encoder_2_train=True), torch.float32)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"network_type": "loha", "use_dora": True}, "use_dora works with network_type: lora"),
        ({"network_type": "lokr", "network_dropout": 0.1}, "use rank_dropout or module_dropout"),
        ({"network_type": "lokr", "lora_plus_ratio": 4}, "lora_plus_ratio"),
        ({"lokr_factor": 0}, "divides nothing"),
        ({"train_unet": False}, "nothing is trained"),
        ({"train_unet": False, "text_encoder_train": True, "block_ranks": {"MID": 2}}, "about the UNet"),
    ],
)
def test_what_does_not_go_together(told: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        settings(**told)


KINDS: dict[str, dict[str, Any]] = {
    "lora": {"conv_rank": 2},
    "dora": {"conv_rank": 2, "use_dora": True},
    "loha": {"conv_rank": 2, "network_type": "loha"},
    "lokr": {"rank": 2, "conv_rank": 1, "network_type": "lokr"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_begins_as_the_base(sd15: Bundle, kind: str) -> None:
    before = of(sd15)
    adapter = Adapter(
        sd15.unet, sd15.text_encoders, settings(**KINDS[kind], text_encoder_train=True), torch.float32
    )
    assert difference(of(sd15), before) <= 2e-6
    trainable = [w for m in (sd15.unet, *sd15.text_encoders) for w in m.parameters() if w.requires_grad]
    assert sum(w.numel() for w in trainable) == adapter.size


@pytest.mark.parametrize("kind", KINDS)
def test_the_running_mean_is_what_is_exported_and_goes_on_exactly(
    sd15: Bundle, folders: dict[str, Path], kind: str
) -> None:
    adapter = trained(sd15, ema_decay=0.5, **KINDS[kind])
    with torch.no_grad():
        mean = {n: w.clone() for n, w in adapter.state().items() if n.startswith("ema.unet")}
        for step in range(1, 4):
            for weight in adapter.parameters("unet"):
                weight.add_(0.01 * step)
            adapter.publish()
            decay = min(0.5, (1 + step) / (10 + step))
            state = adapter.state()
            mean = {n: decay * w + (1 - decay) * state[n.removeprefix("ema.")] for n, w in mean.items()}
    state = adapter.state()
    for name, value in mean.items():
        assert torch.allclose(state[name], value, atol=1e-6)
    exported = {f"unet.{la.module}.{n}": w for la, held in adapter.exported() for n, w in held.items()}
    assert all(torch.equal(exported[n.removeprefix("ema.")], state[n]) for n in mean)

    other = load_bundle(folders["sd15"], "tiny-sd")
    again = Adapter(other.unet, [], settings(ema_decay=0.5, **KINDS[kind]), torch.float32)
    again.load_state(state)
    for each in (adapter, again):
        with torch.no_grad():
            for weight in each.parameters("unet"):
                weight.mul_(1.1)
        each.publish()
    told = again.state()
    assert all(torch.equal(value, told[name]) for name, value in adapter.state().items())
    live = of(sd15)
    with adapter.averaged():
        assert difference(of(sd15), live) > 1e-4
    assert difference(of(sd15), live) == 0.0


DROPOUTS = [
    ("lora", {"network_dropout": 0.5}),
    ("lora", {"rank_dropout": 0.5}),
    ("lora", {"module_dropout": 0.5}),
    ("dora", {"network_dropout": 0.5, "rank_dropout": 0.2}),
    ("loha", {"rank_dropout": 0.5}),
    ("lokr", {"module_dropout": 0.5, "rank_dropout": 0.5}),
]


@pytest.mark.parametrize(("kind", "shares"), DROPOUTS)
def test_dropouts_depend_on_step_and_position_alone(
    sd15: Bundle, kind: str, shares: dict[str, float]
) -> None:
    adapter = trained(sd15, **KINDS[kind], **shares)
    whole = predicted(sd15, 2)
    with adapter.dropping([(3, 0), (3, 1)]):
        both = predicted(sd15, 2)
        assert torch.equal(predicted(sd15, 2), both)
    assert not torch.allclose(both[0], whole[0], atol=1e-4)
    assert torch.equal(predicted(sd15, 2), whole)
    with adapter.dropping([(3, 1)]):
        alone = predicted(sd15, 2, slice(1, 2))
    assert torch.allclose(alone[0], both[1], atol=1e-5)
    with adapter.dropping([(4, 0), (4, 1)]):
        assert not torch.allclose(predicted(sd15, 2), both, atol=1e-4)


def test_checkpointing_drops_the_same_again(sd15: Bundle) -> None:
    adapter = trained(sd15, network_dropout=0.3, rank_dropout=0.2)
    gradients = []
    for checkpointing in (False, True):
        (
            sd15.unet.enable_gradient_checkpointing
            if checkpointing
            else sd15.unet.disable_gradient_checkpointing
        )()
        sd15.unet.train(checkpointing)
        with adapter.dropping([(1, 0), (1, 1)]):
            predicted(sd15, 2, grad=True).square().sum().backward()
        gradients.append([g.clone() for g in adapter.gather_gradients()])
        adapter.clear_gradients()
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(*gradients, strict=True))


def predicted(bundle: Bundle, count: int, part: slice = slice(None), *, grad: bool = False) -> Tensor:
    draw = torch.Generator().manual_seed(1)
    latents = torch.randn((count, 8, 8, 8), generator=draw)[part]
    words = torch.randn((count, 77, 32), generator=draw)[part]
    with torch.set_grad_enabled(grad):
        told: Tensor = bundle.unet(latents, torch.tensor(400), words).sample
    return told


def test_dropout_keeps_the_mean(sd15: Bundle) -> None:
    """Over many draws, what network and rank dropout leave has the mean of the whole."""
    adapter = trained(sd15, network_dropout=0.3, rank_dropout=0.3)
    layer = next(x for x in sd15.unet.modules() if hasattr(x, "lora_A"))
    x = torch.randn((1, layer.in_features if hasattr(layer, "in_features") else 4, 4, 4))
    down = layer.lora_A["default"]
    expected = down(x).detach()
    draws = []
    for step in range(2000):
        with adapter.dropping([(step, 0)]):
            draws.append(down(x).detach())
    assert torch.allclose(torch.stack(draws).mean(0), expected, atol=0.15 * float(expected.abs().max()))


@pytest.mark.parametrize("kind", ["lora", "loha", "lokr"])
def test_norms_are_limited(sd15: Bundle, kind: str) -> None:
    adapter = trained(sd15, scale_weight_norms=0.01, **KINDS[kind])
    before = {layer.module: true_norm(layer) for layer in adapter.layers}
    assert all(
        float(change_norm(layer).detach()) == pytest.approx(before[layer.module], rel=1e-4)
        for layer in adapter.layers
    )
    assert max(before.values()) > 0.01
    adapter.publish()
    for layer in adapter.layers:
        assert true_norm(layer) == pytest.approx(min(before[layer.module], 0.01), rel=1e-3)


def true_norm(layer: TrainedLayer) -> float:
    return float(layer.update().delta(torch.zeros(layer.shape)).norm())


def test_a_dora_on_a_bf16_base_begins_with_lengths_in_float32(sd15: Bundle) -> None:
    unet = sd15.unet.to(torch.bfloat16)
    adapter = Adapter(unet, [], settings(use_dora=True), torch.bfloat16)
    layer = adapter.layers[0]
    weight = unet.get_submodule(layer.module).base_layer.weight  # type: ignore[union-attr]
    lengths = weight.float().flatten(1).norm(dim=1)  # type: ignore[operator]
    assert torch.equal(layer.weights["dora_scale"].flatten(), lengths)


@pytest.fixture
def quantised(sd15: Bundle) -> Any:
    bnb = pytest.importorskip("bitsandbytes")

    def replace(kind: str) -> nn.Module:
        for parent in list(sd15.unet.modules()):
            for name, child in list(parent.named_children()):
                if type(child) is nn.Linear and child.in_features % 64 == 0:
                    make = bnb.nn.Linear4bit if kind == "nf4" else bnb.nn.Linear8bitLt
                    more = {"quant_type": "nf4"} if kind == "nf4" else {"has_fp16_weights": False}
                    packed = make(child.in_features, child.out_features, child.bias is not None, **more)
                    packed.load_state_dict(child.state_dict())
                    setattr(parent, name, packed.to("cpu"))
        return sd15.unet

    return replace


@pytest.mark.filterwarnings("ignore")
def test_loha_around_four_bits_is_refused(quantised: Any) -> None:
    with pytest.raises(UsageError, match="packed in 4 bits"):
        Adapter(quantised("nf4"), [], settings(network_type="loha"), torch.float32)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["int8", "nf4"])
def test_layers_around_a_quantised_base_learn_in_float32(quantised: Any, sd15: Bundle, kind: str) -> None:
    adapter = Adapter(quantised(kind), [], settings(), torch.float32)
    move(adapter)
    assert {weight.dtype for weight in adapter.parameters("unet")} == {torch.float32}
    predicted(sd15, 1, grad=True).square().sum().backward()
    assert all(float(g.abs().max()) > 0 for g in adapter.gather_gradients())
    assert all(layer.update().shape == layer.shape for layer in adapter.layers)
