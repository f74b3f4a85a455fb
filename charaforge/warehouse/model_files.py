"""Which files of a hub repository or folder make a model, and of what kind it is; nothing is loaded."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from pathlib import PurePosixPath
from typing import Any

from charaforge.errors import ModelFileError, UsageError
from charaforge.warehouse.cards import PICKLE_SUFFIXES

PARTS = ("scheduler", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "unet", "vae")
_PIPELINES = {"StableDiffusionPipeline": "sd15", "StableDiffusionXLPipeline": "sdxl"}
_CLASSES = {"ControlNetModel": "controlnet", "AutoencoderKL": "vae"}
_TAGS = frozenset({"selected_tags.csv", "deepdanbooru_tags.csv"})
_TEXTS = (".json", ".txt", ".csv")
_WEIGHTS = (".safetensors", ".onnx")
_VARIANT = re.compile(r"\.(fp16|bf16|fp32|non_ema|ema)(?=[.-])")

ReadJson = Callable[[str], dict[str, Any]]


def kind_of(names: Collection[str], read_json: ReadJson) -> tuple[str, str]:
    """Return kind and family of a model, each "" where its files do not tell.

    Args:
        names: its files, as paths with "/".
        read_json: returns the content of one of them.

    Raises:
        ModelFileError: it is a pipeline of another family.
    """
    if "model_index.json" in names:
        told = str(read_json("model_index.json").get("_class_name", ""))
        if told not in _PIPELINES:
            raise ModelFileError(
                f"it is a {told or 'pipeline without a class'}", f"bases are {' or '.join(_PIPELINES)}"
            )
        return "base", _PIPELINES[told]
    if "config.json" in names:
        kind = _CLASSES.get(str(read_json("config.json").get("_class_name", "")), "")
        if kind:
            return kind, ""
    if not _TAGS.isdisjoint(names) and any(name.endswith(".onnx") for name in names):
        return "tagger", ""
    return "", ""


def family_of_keys(keys: Iterable[str]) -> str:
    """Return the family of a single-file base by its tensors' names, "" where they do not tell."""
    heads = {key.split(".")[0] for key in keys}
    if "conditioner" in heads:
        return "sdxl"
    return "sd15" if "cond_stage_model" in heads else ""


def chosen_files(names: Collection[str], asked: Collection[str], source: str) -> dict[str, str]:
    """Return which files to take: path in the source -> path in the model's folder.

    Args:
        names: all files of the source.
        asked: paths or folders that the user named; none: what makes the model by its layout.
        source: for messages.

    Raises:
        UsageError: a path that was asked for is not there, or it is not clear which weights are meant.
        ModelFileError: there are only pickles.
    """
    outside = [name for name in names if not {"", ".", ".."}.isdisjoint(name.split("/"))]
    if outside:
        raise ModelFileError(f"{source} has a file called {outside[0]!r}", "do not trust this model")
    if asked:
        chosen = _named(names, asked, source)
    elif "model_index.json" in names:
        inside = [name for name in names if name.split("/")[0] in PARTS and name.count("/") == 1]
        chosen = {name: name for name in ["model_index.json", *inside]}
    else:
        chosen = {name: name for name in names if "/" not in name}
    chosen = {old: new for old, new in chosen.items() if PurePosixPath(old).suffix in (*_TEXTS, *_WEIGHTS)}
    taken = _without_variants(chosen)
    weights = [old for old in taken if old.endswith(_WEIGHTS)]
    if not weights:
        raise _no_weights(names, source)
    if not asked and "model_index.json" not in names and len(weights) > 1:
        listed = ", ".join(sorted(weights)[:8])
        raise UsageError(
            f"{source} holds {len(weights)} weights files: {listed}", "say which one: --file NAME"
        )
    return taken


def _named(names: Collection[str], asked: Collection[str], source: str) -> dict[str, str]:
    """Return the files asked for; a parent folder that they all have in common is left out."""
    found: list[str] = []
    for told in asked:
        fitting = [name for name in names if name == told or name.startswith(told.rstrip("/") + "/")]
        if not fitting:
            raise UsageError(f"{source} has no file {told!r}", f"it has {', '.join(sorted(names)[:12])}")
        refused = [name for name in fitting if name.endswith(PICKLE_SUFFIXES) and name == told]
        if refused:
            raise ModelFileError(f"{refused[0]} is a pickle, which can run code", "take a .safetensors file")
        found += fitting
    parents = [PurePosixPath(told.rstrip("/")).parent for told in asked]
    common = parents[0] if all(parent == parents[0] for parent in parents) else PurePosixPath()
    return {name: PurePosixPath(name).relative_to(common).as_posix() for name in found}


def _without_variants(chosen: dict[str, str]) -> dict[str, str]:
    """Leave variants (`model.fp16.safetensors`) out where the plain file is there, else take one as it."""
    taken: dict[str, str] = {}
    for old in sorted(chosen, key=lambda name: (len(_VARIANT.findall(name)), name)):
        plain = _VARIANT.sub("", chosen[old])
        if plain not in taken.values():
            taken[old] = plain
    return taken


def _no_weights(names: Collection[str], source: str) -> ModelFileError:
    pickles = [name for name in names if name.endswith(PICKLE_SUFFIXES)]
    if pickles:
        return ModelFileError(
            f"{source} holds pickles only ({pickles[0]} …), which can run code when they are loaded",
            "take one that has safetensors or ONNX files, or convert it",
        )
    return ModelFileError(f"{source} holds no weights", "a model has .safetensors or .onnx files")
