"""Tiny ONNX models whose output can be told by hand."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def save(
    path: Path, nodes: list, input_shape: list, outputs: dict[str, list], constants: dict | None = None
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    weights = [numpy_helper.from_array(np.asarray(v), k) for k, v in (constants or {}).items()]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, input_shape)],
        [helper.make_tensor_value_info(k, TensorProto.FLOAT, v) for k, v in outputs.items()],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


def channel_means(path: Path, side: int, channel_axis: int) -> Path:
    """Gives the mean of each channel: (N, 3)."""
    shape = ["n", side, side, 3] if channel_axis == 3 else ["n", 3, side, side]
    axes = [1, 2] if channel_axis == 3 else [2, 3]
    node = helper.make_node("ReduceMean", ["input"], ["output"], axes=axes, keepdims=0)
    return save(path, [node], shape, {"output": ["n", 3]})


def nearest_by_four(path: Path) -> Path:
    """Repeats every pixel 4 x 4 times."""
    nodes = [
        helper.make_node("Concat", ["input"] * 16, ["deep"], axis=1),
        helper.make_node("DepthToSpace", ["deep"], ["output"], blocksize=4, mode="DCR"),
    ]
    return save(path, nodes, ["n", 3, "h", "w"], {"output": ["n", 3, "h4", "w4"]})


def corner_pixel_simcc(path: Path, joints: int, width: int, height: int, hot_x: int, hot_y: int) -> Path:
    """Points at (hot_x, hot_y) bins for every joint, with scores 0.9 along x and 0.7 along y."""
    x, y = np.zeros((1, joints, width * 2), np.float32), np.zeros((1, joints, height * 2), np.float32)
    x[..., hot_x], y[..., hot_y] = 0.9, 0.7
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Reshape", ["nothing", "shape"], ["column"]),
        helper.make_node("Add", ["column", "x"], ["simcc_x"]),
        helper.make_node("Add", ["column", "y"], ["simcc_y"]),
    ]
    constants = {"zero": np.float32(0), "shape": np.array([-1, 1, 1]), "x": x, "y": y}
    outputs = {"simcc_x": ["n", joints, width * 2], "simcc_y": ["n", joints, height * 2]}
    return save(path, nodes, ["n", 3, height, width], outputs, constants)
