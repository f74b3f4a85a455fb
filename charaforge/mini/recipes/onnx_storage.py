"""Smaller storage of the weights of ONNX models; arithmetic stays float32.

Each stored weight is brought back to float32 by nodes that onnxruntime folds away when it opens the model.
"""

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
import numpy.typing as npt
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

_SMALLEST_STORED = 256
_INT8_LIMIT = 127


class Storage(StrEnum):
    """How weights of 256 values and more are stored."""

    HALF = "float16"
    """Two bytes per weight; exact to 0.05 %."""
    BYTE = "int8"
    """One byte per weight, one float32 scale per index of the first axis; exact to 0.4 % of the largest."""


def shrink(model: onnx.ModelProto, storage: Storage) -> None:
    """Replace the larger float32 weights of ``model`` in place."""
    graph = model.graph
    restored: list[NodeProto] = []
    kept: list[TensorProto] = []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.data_type != TensorProto.FLOAT or values.size < _SMALLEST_STORED or values.ndim < 2:
            kept.append(tensor)
            continue
        store = _as_half if storage is Storage.HALF else _as_bytes
        tensors, nodes = store(tensor.name, values)
        kept.extend(tensors)
        restored.extend(nodes)
    nodes = [*restored, *graph.node]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend(nodes)


def _as_half(name: str, values: npt.NDArray[np.float32]) -> tuple[Sequence[TensorProto], list[NodeProto]]:
    stored = numpy_helper.from_array(values.astype(np.float16), f"{name}.half")
    return [stored], [helper.make_node("Cast", [stored.name], [name], to=TensorProto.FLOAT)]


def _as_bytes(name: str, values: npt.NDArray[np.float32]) -> tuple[Sequence[TensorProto], list[NodeProto]]:
    largest = np.abs(values).max(axis=tuple(range(1, values.ndim)), keepdims=True)
    scale = np.maximum(largest, 1e-12).astype(np.float32) / _INT8_LIMIT
    stored = numpy_helper.from_array(np.rint(values / scale).astype(np.int8), f"{name}.byte")
    factor = numpy_helper.from_array(scale, f"{name}.scale")
    cast = helper.make_node("Cast", [stored.name], [f"{name}.cast"], to=TensorProto.FLOAT)
    return [stored, factor], [cast, helper.make_node("Mul", [f"{name}.cast", factor.name], [name])]
