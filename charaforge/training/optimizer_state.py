"""An optimiser's state as tensors and JSON, exactly: no value changes its type or a bit of its content.

`load_state_dict` would cast what it loads to the type of the weights, and leaves numbers that an optimiser
keeps in its groups (Prodigy's estimate) to whoever saves it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

Told = dict[str, Any]


def describe_state(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], Told]:
    """Return the state of an optimiser.

    Returns:
        Tensors on the CPU by "<number of the weight>.<key>", and JSON values: "numbers" by the same names,
        "groups" (all but their weights), and "on_cpu": names of tensors that were on the CPU although their
        weight was elsewhere.
    """
    tensors: dict[str, Tensor] = {}
    numbers: Told = {}
    on_cpu = []
    for number, weight in _weights(optimizer):
        for key, value in optimizer.state.get(weight, {}).items():
            name = f"{number}.{key}"
            if isinstance(value, Tensor):
                tensors[name] = value.detach().to("cpu", copy=True).contiguous()
                if value.device != weight.device:
                    on_cpu.append(name)
            else:
                numbers[name] = _told(value)
    groups = [{k: _told(v) for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
    return tensors, {"numbers": numbers, "groups": groups, "on_cpu": on_cpu}


def restore_state(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], told: Told) -> None:
    """Put back what `describe_state` returned; the optimiser has the same weights in the same order."""
    optimizer.state.clear()
    weights = dict(_weights(optimizer))
    for name, value in {**tensors, **{k: _untold(v) for k, v in told["numbers"].items()}}.items():
        number, _, key = name.partition(".")
        weight = weights[int(number)]
        if isinstance(value, Tensor):
            value = value.clone() if name in told["on_cpu"] else value.to(weight.device, copy=True)
        optimizer.state[weight][key] = value
    for group, values in zip(optimizer.param_groups, told["groups"], strict=True):
        group.update({key: _untold(value) for key, value in values.items()})


def _weights(optimizer: torch.optim.Optimizer) -> Iterator[tuple[int, Tensor]]:
    return enumerate(weight for group in optimizer.param_groups for weight in group["params"])


def _told(value: Any) -> Any:
    """Return a number as JSON: infinity and NaN, which JSON lacks, by name."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    return [_told(inner) for inner in value] if isinstance(value, tuple | list) else value


def _untold(value: Any) -> Any:
    if isinstance(value, dict):
        return float(value["float"])
    return tuple(_untold(inner) for inner in value) if isinstance(value, list) else value
