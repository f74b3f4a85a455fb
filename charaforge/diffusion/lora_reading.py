"""The tensors of a LoRA file, put together to one update for each layer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from charaforge.diffusion.lora_keys import split_key
from charaforge.diffusion.lora_updates import (
    DoraLayer,
    FullLayer,
    HadamardLayer,
    KroneckerLayer,
    LoraLayer,
    TuckerLayer,
    Update,
)
from charaforge.errors import ModelFileError

DOWN, UP, ALPHA = "lora_down.weight", "lora_up.weight", "alpha"
_KINDS = (
    frozenset({DOWN, UP, "lora_mid.weight"}),
    frozenset({f"hada_{name}" for name in ("w1_a", "w1_b", "w2_a", "w2_b", "t1", "t2")}),
    frozenset({f"lokr_{name}" for name in ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t2")}),
    frozenset({"diff"}),
)
_BESIDE = frozenset({ALPHA, "dora_scale"})
_KNOWN = _BESIDE.union(*_KINDS)


def updates_of(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> dict[str, Update]:
    """Return layer -> update.

    Args:
        path: of the file, for messages.
        tensors: all of the file.
        metadata: of its header; peft's settings in it give the alphas, which its tensors lack.

    Raises:
        ModelFileError: a key belongs to no kind of update that is known, or a layer is incomplete; nothing is
            left out in silence.
    """
    grouped: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        told = split_key(key)
        if told is None or told[1] not in _KNOWN:
            raise ModelFileError(
                f"{path} holds {key!r}, which is no part of a LoRA that is understood",
                "understood are LoRA, LoCon, DoRA, LoHa and LoKr, keys of kohya, LyCORIS, diffusers or peft",
            )
        grouped.setdefault(told[0], {})[told[1]] = _flat_magnitude(key, value)
    if not grouped:
        raise ModelFileError(f"{path} holds no layer", "restore the file from its origin")
    alphas = _PeftAlphas(path, metadata)
    return {name: _update(path, name, parts, alphas) for name, parts in sorted(grouped.items())}


def _flat_magnitude(key: str, value: Tensor) -> Tensor:
    """Return peft's magnitudes, which are always one for each output, as a flat row."""
    return value.flatten() if "lora_magnitude_vector" in key else value


def _update(path: Path, name: str, parts: Mapping[str, Tensor], alphas: _PeftAlphas) -> Update:
    kinds = [kind for kind in _KINDS if kind & parts.keys()]
    if len(kinds) != 1:
        found = ", ".join(sorted(parts))
        raise _broken(path, name, f"holds {found}, which is no update of one kind")
    alpha = float(parts[ALPHA]) if ALPHA in parts else None
    try:
        inner = _READERS[_KINDS.index(kinds[0])](parts, alpha, alphas.of(name))
    except KeyError as error:
        raise _broken(path, name, f"lacks {error.args[0]}") from None
    except ValueError as error:
        raise _broken(path, name, f"has {error}") from None
    return DoraLayer(inner, parts["dora_scale"]) if "dora_scale" in parts else inner


def _low_rank(parts: Mapping[str, Tensor], alpha: float | None, peft: float | None) -> Update:
    down, up = parts[DOWN], parts[UP]
    mid = parts.get("lora_mid.weight")
    ranks = (up.shape[1], down.shape[0]) if up.ndim > 1 and down.ndim > 1 else (0, 1)
    if mid is not None:
        if mid.ndim != 4 or tuple(mid.shape[:2]) != ranks:
            raise ValueError(f"lora_mid {tuple(mid.shape)} between ranks {ranks}")
        return TuckerLayer(down, up, mid, float(down.shape[0]) if alpha is None else alpha)
    if down.ndim != up.ndim or down.ndim not in (2, 4) or ranks[0] != ranks[1]:
        raise ValueError(f"lora_down {tuple(down.shape)} and lora_up {tuple(up.shape)}")
    if alpha is None:
        alpha = float(down.shape[0]) if peft is None else peft * down.shape[0]
    return LoraLayer(down, up, alpha)


def _hadamard(parts: Mapping[str, Tensor], alpha: float | None, peft: float | None) -> Update:
    a1, b1, a2, b2 = (parts[f"hada_{name}"] for name in ("w1_a", "w1_b", "w2_a", "w2_b"))
    cores = parts.get("hada_t1"), parts.get("hada_t2")
    if (cores[0] is None) != (cores[1] is None):
        raise KeyError("hada_t1" if cores[0] is None else "hada_t2")
    return HadamardLayer(a1, b1, a2, b2, *cores, float(b1.shape[0]) if alpha is None else alpha)


def _kronecker(parts: Mapping[str, Tensor], alpha: float | None, peft: float | None) -> Update:
    def side(name: str) -> tuple[Tensor, ...]:
        if f"lokr_{name}" in parts:
            return (parts[f"lokr_{name}"],)
        core = parts.get(f"lokr_t{name[1]}")
        factors = (parts[f"lokr_{name}_a"], parts[f"lokr_{name}_b"])
        return factors if core is None else (*factors, core)

    left, right = side("w1"), side("w2")
    factored = right if len(right) > 1 else left
    rank = float(factored[1].shape[0]) if len(factored) > 1 else 1.0
    return KroneckerLayer(left, right, rank if alpha is None else alpha)


def _full(parts: Mapping[str, Tensor], alpha: float | None, peft: float | None) -> Update:
    return FullLayer(parts["diff"])


_READERS = (_low_rank, _hadamard, _kronecker, _full)


class _PeftAlphas:
    """The scales that peft's settings in a header give, where the tensors have no alpha.

    Args:
        path: of the file, for messages.
        metadata: its `lora_adapter_metadata` is JSON, with keys such as `unet.lora_alpha`.
    """

    def __init__(self, path: Path, metadata: Mapping[str, str]) -> None:
        try:
            self._told: dict[str, Any] = dict(json.loads(metadata.get("lora_adapter_metadata", "{}")))
        except ValueError as error:
            raise ModelFileError(
                f"the header of {path} has settings that are no JSON: {error}", "fetch it again"
            ) from error

    def of(self, layer: str) -> float | None:
        """Return alpha / r of a layer, None where nothing is told."""
        part, _, module = layer.partition(".")
        alpha = self._of("alpha_pattern", part, module, self._told.get(f"{part}.lora_alpha"))
        rank = self._of("rank_pattern", part, module, self._told.get(f"{part}.r"))
        if alpha is None or rank is None:
            return None
        root = bool(self._told.get(f"{part}.use_rslora"))
        return float(alpha) / (float(rank) ** 0.5 if root else float(rank))

    def _of(self, pattern: str, part: str, module: str, usual: Any) -> Any:
        own = self._told.get(f"{part}.{pattern}") or {}
        fitting = (value for name, value in own.items() if module == name or module.endswith(f".{name}"))
        return next(fitting, usual)


def _broken(path: Path, name: str, what: str) -> ModelFileError:
    return ModelFileError(f"{path}: layer {name} {what}", "restore the file from its origin")
