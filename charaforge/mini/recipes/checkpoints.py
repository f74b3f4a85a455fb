"""Checkpoints of a recipe: one safetensors file, written atomically, holding everything a resume needs."""

from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from charaforge.mini.recipes.bf16 import MasterWeights
from charaforge.warehouse.atomic import write_bytes


def save_checkpoint(path: Path, weights: MasterWeights, optimizer: torch.optim.Optimizer, step: int) -> None:
    """Write master weights, their average, the optimiser's state and the step count."""
    tensors = weights.state() | {"step": torch.tensor(step)}
    for i, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{i}.{key}": torch.as_tensor(value) for key, value in state.items()}
    write_bytes(path, safetensors.torch.save({k: v.contiguous() for k, v in tensors.items()}))


def load_checkpoint(path: Path, weights: MasterWeights, optimizer: torch.optim.Optimizer) -> int:
    """Restore what ``save_checkpoint`` wrote; returns the step to go on from, 0 if there is no file."""
    if not path.exists():
        return 0
    tensors = safetensors.torch.load_file(path)
    weights.load_state(tensors)
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return int(tensors["step"])
