"""What a single-file checkpoint does not hold by itself: shapes, noise schedule, tokenizers.

Full-size models take them from the package (`configs/`). A model of another shape carries them in the header
of its file, under `charaforge.model`, as our exporter writes it.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from transformers import CLIPTokenizer

from charaforge.diffusion.clip_vocabulary import clip_tokenizer
from charaforge.diffusion.parts import Family
from charaforge.errors import ModelFileError

HEADER_KEY = "charaforge.model"
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
_PADS: Mapping[Family, tuple[str, ...]] = {"sd15": ("<|endoftext|>",), "sdxl": ("<|endoftext|>", "!")}


@dataclass(frozen=True)
class ModelConfigs:
    """Everything about a model but its weights; configs in the keys of diffusers and transformers.

    `zero_empty` is that of `Parts`.
    """

    family: Family
    unet: Mapping[str, Any]
    vae: Mapping[str, Any]
    text_encoders: tuple[Mapping[str, Any], ...]
    scheduler: Mapping[str, Any]
    tokenizers: tuple[CLIPTokenizer, ...]
    zero_empty: bool = False


def kept_configs(family: Family) -> ModelConfigs:
    """Return what all full-size models of a family have in common, predicting epsilon."""
    told = kept_shapes(family)
    return _configs(family, told, tuple(clip_tokenizer(pad) for pad in _PADS[family]))


@cache
def kept_shapes(family: Family) -> Mapping[str, Any]:
    """Return the published configs of a family: unet, vae, text_encoders, scheduler."""
    file = resources.files("charaforge.diffusion") / "configs" / f"{family}.json"
    told: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return told


def carried_configs(metadata: Mapping[str, str], file: Path) -> ModelConfigs | None:
    """Return what the header of a file carries; None where it carries nothing.

    Args:
        metadata: `__metadata__` of the header.
        file: for messages.

    Raises:
        ModelFileError: it carries something else than our exporter writes.
    """
    if HEADER_KEY not in metadata:
        return None
    try:
        told = json.loads(metadata[HEADER_KEY])
        family: Family = {"sd15": "sd15", "sdxl": "sdxl"}[told["family"]]  # type: ignore[assignment]
        return _configs(family, told, tuple(map(_tokenizer, told["tokenizers"])))
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ModelFileError(
            f"the header of {file} does not describe a model: {error!r}", "export the file again"
        ) from error


def tokenizer_files(tokenizer: CLIPTokenizer) -> dict[str, Any]:
    """Return the files of a tokenizer as JSON values, which `carried_configs` builds it from again."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        return {
            name: json.loads((Path(folder) / name).read_text(encoding="utf-8")) for name in _TOKENIZER_FILES
        }


def _tokenizer(files: Mapping[str, Any]) -> CLIPTokenizer:
    with tempfile.TemporaryDirectory() as folder:
        for name in _TOKENIZER_FILES:
            (Path(folder) / name).write_text(json.dumps(files[name]), encoding="utf-8")
        tokenizer: CLIPTokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        return tokenizer


def _configs(family: Family, told: Mapping[str, Any], words: tuple[CLIPTokenizer, ...]) -> ModelConfigs:
    encoders = tuple(told["text_encoders"])
    zeros = family == "sdxl" and bool(told.get("force_zeros_for_empty_prompt", True))
    return ModelConfigs(family, told["unet"], told["vae"], encoders, told["scheduler"], words, zeros)
