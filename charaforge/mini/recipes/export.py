"""Writes a trained net as ONNX, and the card that goes with it."""

import hashlib
import json
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from charaforge.mini import world
from charaforge.mini.recipes.onnx_storage import Storage, shrink
from charaforge.warehouse.atomic import write_bytes, write_json

_OPSET = 17


def write_onnx(
    module: nn.Module,
    example: Tensor,
    path: Path,
    inputs: Sequence[str],
    outputs: Sequence[str],
    free_axes: Sequence[int] = (0,),
    storage: Storage = Storage.HALF,
) -> None:
    """Export ``module`` (float32, eval mode, one input) with smaller storage of its weights.

    Args:
        module: What to export.
        example: Input of the exported shape.
        path: The ``.onnx`` file.
        inputs: Name of the input.
        outputs: Names of the outputs.
        free_axes: Input axes of any length; of the outputs only the batch axis is declared free.
        storage: How the weights are stored; arithmetic stays float32.
    """
    axes = {inputs[0]: {a: f"axis{a}" for a in free_axes}, **{name: {0: "axis0"} for name in outputs}}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated, but its successor needs onnxscript
        plain = Path(folder) / "plain.onnx"
        torch.onnx.export(
            module.eval(),
            (example,),
            plain,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes=axes,
            opset_version=_OPSET,
            dynamo=False,
        )
        model = onnx.load(plain)
    shrink(model, storage)
    onnx.checker.check_model(model)
    write_bytes(path, model.SerializeToString())


def write_card(
    folder: Path, kind: str, trained_on: Mapping[str, Any], family: str = "sd15", **facts: Any
) -> None:
    """Write ``card.json`` for the model files that lie in ``folder``, with their sha256.

    Args:
        folder: The model's folder; its name is the model's name.
        kind: Registry kind: tagger, identity, pose, upscaler or judge.
        trained_on: Number of pictures, seed, banks: what it takes to make the model again.
        family: Architecture that it belongs to.
        facts: Further entries, for example ``measured``.
    """
    card = {
        "name": folder.name,
        "kind": kind,
        "family": family,
        "native_side": world.NATIVE_SIDE,
        "world_version": world.WORLD_VERSION,
        "license": "Apache-2.0",
        "trained_on": dict(trained_on),
        **facts,
        "sha256": sums_of(folder),
    }
    write_json(folder / "card.json", card)


def sums_of(folder: Path) -> dict[str, str]:
    """sha256 of every file of a model, by path; the cards themselves do not count."""
    told = {"card.json", "MODEL_CARD.md"}
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name not in told)
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def renew_card(folder: Path, **facts: Any) -> dict[str, Any]:
    """Write the files' present sums, and facts that changed, into ``card.json``; return the card."""
    card: dict[str, Any] = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    card |= {**facts, "sha256": sums_of(folder)}
    write_json(folder / "card.json", card)
    return card
