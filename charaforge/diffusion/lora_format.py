"""LoRA files: written in kohya's format, which A1111, ComfyUI, Civitai and diffusers all read; read in any.

In kohya's format a file holds, for each adapted layer, `<layer>.lora_down.weight` (r, in, …),
`<layer>.lora_up.weight` (out, r, …) and `<layer>.alpha` (scalar); the layer adds `alpha / r * up(down(x))` to
its output. For the names of layers see `lora_names`, for other kinds `lora_updates`, for what the file is
about `lora_header`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from charaforge.diffusion.lora_header import PLACEHOLDER_KEY
from charaforge.diffusion.lora_reading import updates_of
from charaforge.diffusion.lora_updates import Update
from charaforge.diffusion.lora_writing import file_tensors
from charaforge.errors import ModelFileError
from charaforge.warehouse.atomic import write_bytes

_OLDER_HASH_AT, _OLDER_HASH_OF = 0x100000, 0x10000


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
        filled |= json.loads(self.metadata.get(PLACEHOLDER_KEY, "{}"))
        return {name: text for name, text in filled.items() if text}


def write_lora(
    path: Path,
    layers: Mapping[str, Update],
    metadata: Mapping[str, str],
    dtype: torch.dtype | None = None,
) -> None:
    """Write a LoRA file, whole or not at all; the same arguments always give the same bytes.

    Args:
        path: where to, ending in `.safetensors`.
        layers: kohya's layer name -> update.
        metadata: keys of the header, see `lora_header`; the hashes of the tensors are added to them.
        dtype: what the tensors are stored in; None keeps the type that they have.
    """
    write_tensors(path, file_tensors(layers, dtype), metadata)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write the tensors of a LoRA under the keys that they have; see `write_lora`."""
    plain = save(dict(sorted(tensors.items())))
    body = _body(plain)
    told = {**metadata, **_hashes(plain, body)}
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


def _hashes(plain: bytes, body: bytes) -> dict[str, str]:
    """Return the hashes by which programs know a LoRA; none of them depends on the header.

    The older one of A1111 is over 64 KiB from 1 MiB on, of the file as it is without metadata.
    """
    whole = hashlib.sha256(body).hexdigest()
    older = hashlib.sha256(plain[_OLDER_HASH_AT : _OLDER_HASH_AT + _OLDER_HASH_OF]).hexdigest()
    return {
        "modelspec.hash_sha256": f"0x{whole}",
        "sshs_model_hash": whole,
        "sshs_legacy_hash": older[:8],
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
