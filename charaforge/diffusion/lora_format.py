"""LoRA files: written in kohya's format, which A1111, ComfyUI, Civitai and diffusers all read; read in any.

In kohya's format a file holds, for each adapted layer, `<layer>.lora_down.weight` (r, in, …),
`<layer>.lora_up.weight` (out, r, …) and `<layer>.alpha` (scalar); the layer adds `alpha / r * up(down(x))` to
its output. For the names of layers see `lora_names`. What the file is about stands in its header, in kohya's
`ss_*` keys and in those of `modelspec` 1.0.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from charaforge.diffusion.lora_reading import ALPHA, DOWN, UP, updates_of
from charaforge.diffusion.lora_updates import LoraLayer, Update
from charaforge.errors import ModelFileError
from charaforge.warehouse.atomic import write_bytes

_PLACEHOLDER_KEY = "charaforge.placeholders"


@dataclass(frozen=True)
class LoraFile:
    """A LoRA as it lies on the disk.

    Attributes:
        layers: the file's name of a layer -> update.
        metadata: the `ss_*`, `modelspec.*` and own keys of the header.
        sha256: of the whole file.
        tensors_sha256: of the file without its header, as A1111 and Civitai identify LoRAs.
    """

    layers: Mapping[str, Update]
    metadata: Mapping[str, str]
    sha256: str
    tensors_sha256: str

    @property
    def base(self) -> str:
        """What the file says it was made for, for messages."""
        told = self.metadata
        named = [told.get("ss_sd_model_name", ""), told.get("modelspec.architecture", "")]
        named.append(told.get("ss_base_model_version", ""))
        return " / ".join(part for part in named if part) or "a base that its file does not name"

    @property
    def placeholders(self) -> dict[str, str]:
        """What fills `[character] [outfit] [style] [pose_tag]` in prompts."""
        filled = {"character": self.metadata.get("modelspec.trigger_phrase", "")}
        filled |= json.loads(self.metadata.get(_PLACEHOLDER_KEY, "{}"))
        return {name: text for name, text in filled.items() if text}


def write_lora(path: Path, layers: Mapping[str, LoraLayer], metadata: Mapping[str, str]) -> None:
    """Write a LoRA file, whole or not at all; the same arguments always give the same bytes.

    Args:
        path: where to, ending in `.safetensors`.
        layers: kohya's layer name -> update; the tensors are stored in the type they have.
        metadata: keys of the header, see `describe`.
    """
    tensors: dict[str, Tensor] = {}
    for name, layer in sorted(layers.items()):
        values = (layer.down, layer.up, torch.tensor(layer.alpha, dtype=layer.down.dtype))
        for part, value in zip((DOWN, UP, ALPHA), values, strict=True):
            tensors[f"{name}.{part}"] = value.detach().cpu().contiguous()
    plain = save(tensors)
    body = _body(plain)
    told = {**metadata, "modelspec.hash_sha256": f"0x{hashlib.sha256(body).hexdigest()}"}
    write_bytes(path, _with_metadata(plain[8 : len(plain) - len(body)], told) + body)


def read_lora(path: Path) -> LoraFile:
    """Read a LoRA file with keys of kohya, LyCORIS, diffusers or peft.

    Raises:
        ModelFileError: it is missing or broken, a layer is incomplete, or it holds what is no update that is
            understood.
    """
    try:
        data = path.read_bytes()  # not mapped: the weights shall stay as they are when the file changes
        tensors = load(data)
        metadata = json.loads(data[8 : len(data) - len(_body(data))]).get("__metadata__", {})
    except (OSError, SafetensorError) as error:
        raise ModelFileError(
            f"the LoRA {path} cannot be read: {error}", "restore the file from its origin"
        ) from error
    sums = hashlib.sha256(data).hexdigest(), hashlib.sha256(_body(data)).hexdigest()
    return LoraFile(updates_of(path, tensors, metadata), metadata, *sums)


def describe(
    *,
    title: str,
    base_name: str,
    base_sha256: str,
    side: int,
    prediction: str,
    rank: int,
    alpha: float,
    placeholders: Mapping[str, str],
    extra: Mapping[str, Any] | None = None,
) -> dict[str, str]:
    """Return the header of a LoRA for the SD1.x family, in kohya's and modelspec's keys.

    Args:
        title: name of the LoRA.
        base_name: registry name of the model that it was trained on.
        base_sha256: fingerprint of that model.
        side: training resolution in pixels.
        prediction: "epsilon" or "v_prediction".
        rank: rank of its layers.
        alpha: alpha of its layers.
        placeholders: what fills the placeholders of prompts; "character" is the trigger phrase.
        extra: further `ss_*` keys; values that are no text are written as JSON.
    """
    told: dict[str, Any] = {
        "ss_base_model_version": "sd_v1",
        "ss_network_alpha": f"{alpha:g}",
        "ss_network_dim": f"{rank}",
        "ss_network_module": "networks.lora",
        "ss_new_sd_model_hash": base_sha256,
        "ss_output_name": title,
        "ss_resolution": f"({side}, {side})",
        "ss_sd_model_name": base_name,
        "ss_v2": "False",
        "modelspec.architecture": "stable-diffusion-v1/lora",
        "modelspec.implementation": "diffusers",
        "modelspec.prediction_type": "v" if prediction == "v_prediction" else "epsilon",
        "modelspec.resolution": f"{side}x{side}",
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.title": title,
        "modelspec.trigger_phrase": placeholders.get("character", ""),
        _PLACEHOLDER_KEY: {name: text for name, text in placeholders.items() if text},
    }
    told |= dict(extra or {})
    return {
        key: value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
        for key, value in told.items()
    }


def _with_metadata(header: bytes, metadata: Mapping[str, str]) -> bytes:
    """Return the length and the header of a safetensors file, with metadata in a fixed order.

    The safetensors library writes metadata in an order that changes from call to call.
    """
    told = {"__metadata__": dict(sorted(metadata.items())), **json.loads(header)}
    text = json.dumps(told, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _body(data: bytes) -> bytes:
    """Return a safetensors file without its header."""
    return data[8 + int.from_bytes(data[:8], "little") :]
