"""Everything worth knowing about a LoRA file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from charaforge.diffusion.lora_format import LoraFile
from charaforge.diffusion.lora_tools.opening import family_of
from charaforge.diffusion.lora_updates import DoraLayer, LoraLayer, Update
from charaforge.diffusion.lora_writing import update_tensors

_KINDS = {
    "LoraLayer": "LoRA",
    "TuckerLayer": "LoCon (Tucker)",
    "HadamardLayer": "LoHa",
    "KroneckerLayer": "LoKr",
    "FullLayer": "whole change",
}
_MOST_TAGS = 20


def describe_file(path: Path, lora: LoraFile) -> dict[str, Any]:
    """Return what a LoRA is, as JSON values.

    Keys: name, bytes, family, base, trigger, parts, kinds, ranks, alphas, precision, norms, hashes, training,
    tags, warnings, layers (each with kind, rank, alpha and norm; of a DoRA that of its low-rank part).
    """
    layers = {name: _layer(update) for name, update in lora.layers.items()}
    told = lora.metadata
    return {
        "name": path.stem,
        "bytes": path.stat().st_size,
        "family": family_of(lora),
        "base": {
            "name": told.get("ss_sd_model_name", ""),
            "version": told.get("ss_base_model_version", ""),
            "sha256": told.get("ss_new_sd_model_hash", ""),
            "prediction": told.get("modelspec.prediction_type", ""),
            "resolution": told.get("modelspec.resolution", told.get("ss_resolution", "")),
        },
        "trigger": told.get("modelspec.trigger_phrase", ""),
        "parts": dict(Counter(part_of(name) for name in layers)),
        "keys": "diffusers" if any("." in name for name in layers) else "kohya",
        "kinds": dict(Counter(layer["kind"] for layer in layers.values())),
        "ranks": _counted(layer["rank"] for layer in layers.values()),
        "alphas": _counted(layer["alpha"] for layer in layers.values()),
        "precision": _precisions(lora.layers),
        "norms": _norms([layer["norm"] for layer in layers.values()]),
        "hashes": {
            "sha256": lora.sha256,
            "autov2": lora.sha256[:10].upper(),
            "tensors": lora.tensors_sha256,
            "autov3": lora.tensors_sha256[:12].upper(),
        },
        "training": {k.removeprefix("ss_"): v for k, v in sorted(told.items()) if _is_setting(k)},
        "tags": _tags(told),
        "thumbnail": "modelspec.thumbnail" in told,
        "warnings": warnings_of(lora, [layer["norm"] for layer in layers.values()]),
        "layers": layers,
    }


def warnings_of(lora: LoraFile, norms: list[float]) -> list[str]:
    """Return what would make a LoRA invisible, unreadable or without effect elsewhere, one sentence each."""
    told, found = lora.metadata, []
    version = told.get("ss_base_model_version", "")
    if family_of(lora) == "sdxl" and told and not version.startswith("sdxl_"):
        found.append("A1111 hides it: it is for SDXL, but ss_base_model_version does not say so")
    if any("." in name for name in lora.layers):
        found.append(
            "keys of diffusers: A1111 and ComfyUI may not read them; charaforge lora convert --to kohya"
        )
    if any(isinstance(update, DoraLayer) for update in lora.layers.values()):
        found.append(
            "a DoRA: diffusers leaves its lengths out of kohya's keys; ComfyUI and Forge divide by the "
            "lengths of the base's rows instead of the sum's"
        )
    if not all(norm == norm and norm != float("inf") for norm in norms):
        found.append("it holds numbers that are not finite")
    dead = sum(norm == 0 for norm in norms)
    if dead:
        found.append(f"{dead} of {len(norms)} layers change nothing")
    return found


def part_of(name: str) -> str:
    """Return the part of the model that a layer of any name is in."""
    if name.startswith(("lora_te2_", "text_encoder_2.")):
        return "text_encoder_2"
    return "text_encoder" if name.startswith(("lora_te", "text_encoder")) else "unet"


def _layer(update: Update) -> dict[str, Any]:
    inner = update.inner if isinstance(update, DoraLayer) else update
    kind = _KINDS[type(inner).__name__]
    return {
        "kind": f"DoRA of {kind}"
        if isinstance(update, DoraLayer) and kind != "LoRA"
        else _plain(update, kind),
        "rank": _rank(inner),
        "alpha": getattr(inner, "alpha", None),
        "norm": change_norm(inner),
    }


def _plain(update: Update, kind: str) -> str:
    if isinstance(update, DoraLayer):
        return "DoRA"
    spatial = isinstance(update, LoraLayer) and update.down.ndim == 4 and update.down.shape[-1] > 1
    return "LoCon" if spatial else kind


def change_norm(update: Update) -> float:
    """Return the Frobenius norm of an update's change of a weight; of a DoRA, that of its inner part."""
    if isinstance(update, LoraLayer):
        up, down = update.up.double().flatten(1), update.down.double().flatten(1)
        squared = float(((up.T @ up) * (down @ down.T)).sum())
        return abs(update.alpha / update.rank) * max(squared, 0.0) ** 0.5 if squared == squared else squared
    return float(update.delta(torch.zeros(update.shape)).norm())


def _rank(update: Update) -> int | None:
    smaller = [min(t.shape[:2]) for t in update_tensors(update).values() if t.ndim >= 2]
    return update.rank if isinstance(update, LoraLayer) else min(smaller, default=None)


def _precisions(layers: Mapping[str, Update]) -> str:
    kinds = Counter(
        str(t.dtype).removeprefix("torch.") for u in layers.values() for t in update_tensors(u).values()
    )
    return ", ".join(sorted(kinds))


def _norms(norms: list[float]) -> dict[str, float]:
    values: Tensor = torch.tensor(norms, dtype=torch.float64)
    return {
        "mean": float(values.mean()),
        "median": float(values.median()),
        "largest": float(values.max()),
        "whole": float(values.square().sum().sqrt()),
    }


def _counted(values: Any) -> dict[str, int]:
    counts = Counter(f"{value:g}" if value is not None else "none" for value in values)
    return dict(counts.most_common())


def _is_setting(key: str) -> bool:
    return key.startswith("ss_") and key not in ("ss_tag_frequency", "ss_bucket_info", "ss_dataset_dirs")


def _tags(told: Mapping[str, str]) -> dict[str, int]:
    """Return the most frequent tags that it was trained with, over all folders."""
    try:
        folders = json.loads(told.get("ss_tag_frequency", "{}"))
        counts: Counter[str] = Counter()
        for tags in folders.values():
            counts.update({tag.strip(): int(count) for tag, count in tags.items()})
    except (ValueError, AttributeError, TypeError):
        return {}
    return dict(counts.most_common(_MOST_TAGS))
