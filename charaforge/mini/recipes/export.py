"""Writes a trained net as ONNX with weights stored in float16, and the card that goes with it."""

import hashlib
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from charaforge.mini import world
from charaforge.warehouse.atomic import write_bytes, write_json

_OPSET = 17
_SMALLEST_HALVED = 256


def write_onnx(
    module: nn.Module,
    example: Tensor,
    path: Path,
    inputs: Sequence[str],
    outputs: Sequence[str],
    free_axes: Sequence[int] = (0,),
) -> None:
    """Export ``module`` (float32, eval mode, one input) with float16 storage of its larger weights.

    Arithmetic stays float32: each stored weight is cast up when the model is loaded.

    Args:
        module: What to export.
        example: Input of the exported shape.
        path: The ``.onnx`` file.
        inputs: Name of the input.
        outputs: Names of the outputs.
        free_axes: Input axes of any length; of the outputs only the batch axis is declared free.
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
    _store_halved(model)
    onnx.checker.check_model(model)
    write_bytes(path, model.SerializeToString())


def _store_halved(model: onnx.ModelProto) -> None:
    graph = model.graph
    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(tensor)
        if values.size < _SMALLEST_HALVED:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def write_card(folder: Path, kind: str, trained_on: Mapping[str, Any], **facts: Any) -> None:
    """Write ``card.json`` for the model files that lie in ``folder``, with their sha256.

    Args:
        folder: The model's folder; its name is the model's name.
        kind: Registry kind: tagger, identity, pose, upscaler or judge.
        trained_on: Number of pictures, seed, banks: what it takes to make the model again.
        facts: Further entries, for example ``measured``.
    """
    told = {"card.json", "MODEL_CARD.md"}
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name not in told)
    sums = {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
    card = {
        "name": folder.name,
        "kind": kind,
        "family": "sd15",
        "native_side": world.NATIVE_SIDE,
        "world_version": world.WORLD_VERSION,
        "license": "Apache-2.0",
        "trained_on": dict(trained_on),
        **facts,
        "sha256": sums,
    }
    write_json(folder / "card.json", card)
