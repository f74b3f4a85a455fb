"""LyCORIS makes of our files what we make of them; it is installed for this test alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from charaforge.diffusion.bundle import Bundle, load_bundle
from charaforge.diffusion.lora_format import write_lora
from charaforge.diffusion.lora_names import places
from charaforge.training.export import kohya_layers
from tests.fixtures.tiny_adapters import trained
from tests.fixtures.tiny_models import tiny_sd

pytest.importorskip("lycoris")

KINDS: dict[str, dict[str, Any]] = {
    "locon": {"conv_rank": 2, "alpha": 3},
    "dora": {"conv_rank": 2, "use_dora": True, "alpha": 3},
    "loha": {"conv_rank": 2, "network_type": "loha", "alpha": 3},
    "lokr": {"rank": 2, "conv_rank": 1, "network_type": "lokr", "alpha": 3},
    "lokr of two low ranks": {
        "network_type": "lokr", "rank": 1, "lokr_decompose_both": True, "lokr_factor": 16, "alpha": 3
    },
    "lokr of whole factors": {"network_type": "lokr", "rank": 64, "lokr_factor": 8, "alpha": 3},
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_sd(tmp_path_factory.mktemp("models") / "tiny-sd")


def by_lycoris(weight: Tensor, held: dict[str, Tensor]) -> Tensor:
    """The changed weight, as LyCORIS' own functions compute it from a layer's tensors."""
    from lycoris.functional import locon, loha, lokr

    alpha = float(held["alpha"])
    if "lora_up.weight" in held:
        down, up = held["lora_down.weight"], held["lora_up.weight"]
        change = locon.diff_weight(down, up, None, gamma=alpha / len(down))
    elif "hada_w1_a" in held:
        w1b, w1a, w2b, w2a = (held[f"hada_{name}"] for name in ("w1_b", "w1_a", "w2_b", "w2_a"))
        change = loha.diff_weight(w1b, w1a, w2b, w2a, None, None, gamma=alpha / len(w1b))
    else:
        parts = [held.get(f"lokr_{name}") for name in ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t2")]
        whole = parts[2] is None and parts[5] is None
        change = lokr.diff_weight(*parts, gamma=1.0 if whole else alpha)  # it divides by the rank itself
    changed: Tensor = weight + change.view_as(weight)
    if "dora_scale" in held:
        from lycoris.modules.locon import weight_decompose

        changed = weight_decompose(changed, held["dora_scale"], 1, True)
    return changed


@torch.no_grad()
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_lycoris_changes_the_weights_as_training_did(folder: Path, tmp_path: Path, kind: str) -> None:
    bundle: Bundle = load_bundle(folder, "tiny-sd")
    weights = {place.name: place.module.weight.clone() for place in places(bundle)}
    layers = kohya_layers(trained(bundle, text_encoder_train=True, **KINDS[kind]))
    write_lora(tmp_path / "a.safetensors", layers, {})
    tensors = load_file(tmp_path / "a.safetensors")
    assert {key.split(".")[0] for key in tensors} == layers.keys()
    for name, update in layers.items():
        held = {k.removeprefix(f"{name}."): t for k, t in tensors.items() if k.startswith(f"{name}.")}
        theirs = by_lycoris(weights[name], held)
        assert torch.allclose(theirs, weights[name] + update.delta(weights[name]), atol=1e-5), name
