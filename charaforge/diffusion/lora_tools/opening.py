"""LoRA files as tools take them: pickles, whole models and other families are named and refused."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from charaforge.diffusion.lora_format import LoraFile, read_lora
from charaforge.diffusion.lora_updates import Update
from charaforge.diffusion.parts import Family
from charaforge.errors import ModelFileError

_PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_LONGEST_HEADER = 100_000_000
_OTHERS = (
    ("double_blocks", "a LoRA of a FLUX model"),
    ("single_transformer_blocks", "a LoRA of a FLUX model"),
    ("joint_blocks", "a LoRA of Stable Diffusion 3"),
    ("lora_transformer_", "a LoRA of a diffusion transformer"),
    ("transformer.transformer_blocks", "a LoRA of a diffusion transformer"),
    ("lora_prior_", "a LoRA of Stable Cascade"),
    ("control_model.", "a ControlNet"),
    ("image_proj", "an IP-Adapter"),
    ("emb_params", "a textual inversion"),
    ("model.diffusion_model.", "a whole checkpoint"),
    ("first_stage_model.", "a whole checkpoint"),
    ("down_blocks.0.resnets.0.conv1.weight", "the UNet of a whole model"),
)
_CONTEXTS = {768: "sd15", 1024: "sd2", 2048: "sdxl"}
_SUPPORTED: Mapping[str, Family] = {"sd15": "sd15", "sdxl": "sdxl"}


def open_lora(path: Path) -> LoraFile:
    """Read a LoRA.

    Raises:
        ModelFileError: it is missing, broken, a pickle, or something else than a LoRA of SD1.x or SDXL.
    """
    if path.is_dir():
        path = _in_folder(path)
    if not path.is_file():
        raise ModelFileError(f"there is no file {path}", "give a LoRA file, or the folder of a LoRA")
    with path.open("rb") as stream:
        head = stream.read(8)
        _refuse_pickle(path, head)
        length = int.from_bytes(head, "little")
        told = stream.read(length) if length < _LONGEST_HEADER else b""
    _refuse_other_kinds(path, _keys(told))
    return read_lora(path)


def family_of(lora: LoraFile) -> Family:
    """Return the family that a LoRA is for.

    The width of the text that its cross-attentions read decides, then what its header says, then its names.

    Raises:
        ModelFileError: it is for Stable Diffusion 2, or its header names another family.
    """
    said = lora.metadata.get("ss_base_model_version", "")
    found = _by_width(lora.layers) or _by_version(said) or _by_names(lora.layers)
    if found not in _SUPPORTED:
        raise ModelFileError(
            f"the LoRA is for another family: {said or found}", "SD1.x and SDXL are understood"
        )
    return _SUPPORTED[found]


def _in_folder(folder: Path) -> Path:
    """Return the LoRA of a LoRA's folder: the file of its name, else the only one."""
    own = folder / f"{folder.name}.safetensors"
    files = sorted(folder.glob("*.safetensors"))
    return own if own.is_file() or len(files) != 1 else files[0]


def _refuse_pickle(path: Path, head: bytes) -> None:
    if path.suffix.lower() in (".pt", ".pth", ".ckpt", ".bin") or head.startswith(_PICKLES):
        raise ModelFileError(
            f"{path} is a pickle, which can run any program when it is opened",
            "only .safetensors are read; ask its author for one",
        )


def _keys(header: bytes) -> list[str]:
    try:
        return list(json.loads(header))
    except ValueError:
        return []  # `read_lora` tells what is wrong with the file


def _refuse_other_kinds(path: Path, keys: Iterable[str]) -> None:
    keys = list(keys)
    if any("lora_down" in key or "lora_A" in key for key in keys):
        others = [other for other in _OTHERS if other[1].startswith("a LoRA")]
    else:
        others = [other for other in _OTHERS if not other[1].startswith("a LoRA")]
    for mark, kind in others:
        if any(mark in key for key in keys):
            hint = "LoRAs of SD1.x and SDXL are understood"
            if kind.endswith(("checkpoint", "model")):
                hint = "to make a LoRA of two checkpoints:  charaforge lora extract"
            raise ModelFileError(f"{path} is {kind}, not a LoRA for SD1.x or SDXL", hint)


def _by_width(layers: Mapping[str, Update]) -> str:
    widths = {u.shape[1] for name, u in layers.items() if name.endswith(("attn2_to_k", "attn2.to_k"))}
    return next((_CONTEXTS[width] for width in sorted(widths) if width in _CONTEXTS), "")


def _by_version(version: str) -> str:
    if version.startswith("sdxl_"):
        return "sdxl"
    return {"sd_v1": "sd15", "": ""}.get(version, version)


def _by_names(layers: Iterable[str]) -> str:
    marks = ("input_blocks", "output_blocks", "middle_block", "lora_te2_", "text_encoder_2.")
    return "sdxl" if any(mark in name for name in layers for mark in marks) else "sd15"
