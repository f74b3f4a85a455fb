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


def channel_means(path: Path, side: int, channel_axis: int, scale: float = 1.0) -> Path:
    """Gives the mean of each channel, times `scale`: (N, 3)."""
    shape = ["n", side, side, 3] if channel_axis == 3 else ["n", 3, side, side]
    axes = [1, 2] if channel_axis == 3 else [2, 3]
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["means"], axes=axes, keepdims=0),
        helper.make_node("Mul", ["means", "scale"], ["output"]),
    ]
    return save(path, nodes, shape, {"output": ["n", 3]}, {"scale": np.float32(scale)})


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


def echo(path: Path, side: int, batch: int | str = "n", scale: float = 1.0) -> Path:
    """Gives the whole NHWC input, times `scale`, as one row per picture."""
    nodes = [
        helper.make_node("Flatten", ["input"], ["flat"]),
        helper.make_node("Mul", ["flat", "scale"], ["output"]),
    ]
    shape = [batch, side, side, 3]
    return save(path, nodes, shape, {"output": [batch, side * side * 3]}, {"scale": np.float32(scale)})


def red_cross_simcc(path: Path, width: int, height: int) -> Path:
    """Points all 18 joints at the reddest column and the reddest row."""
    nodes = [helper.make_node("Gather", ["input", "red"], ["reds"], axis=1)]
    for name, axis in (("x", 1), ("y", 2)):
        nodes += [
            helper.make_node("ReduceMean", ["reds"], [f"{name}_mean"], axes=[axis], keepdims=0),
            helper.make_node("Unsqueeze", [f"{name}_mean", "last"], [f"{name}_wide"]),
            helper.make_node("Mul", [f"{name}_wide", "first_bin"], [f"{name}_bins"]),
            helper.make_node("Reshape", [f"{name}_bins", f"{name}_shape"], [f"{name}_row"]),
            helper.make_node("Expand", [f"{name}_row", f"{name}_joints"], [f"simcc_{name}"]),
        ]
    constants = {
        "red": np.array(0),
        "last": np.array([2]),
        "first_bin": np.array([1.0, 0.5], np.float32),
        "x_shape": np.array([-1, 1, 2 * width]),
        "y_shape": np.array([-1, 1, 2 * height]),
        "x_joints": np.array([1, 18, 1]),
        "y_joints": np.array([1, 18, 1]),
    }
    outputs = {"simcc_x": ["n", 18, 2 * width], "simcc_y": ["n", 18, 2 * height]}
    return save(path, nodes, ["n", 3, height, width], outputs, constants)


def blue_cells_yolox(path: Path, height: int, width: int, batch: int | str = "n") -> Path:
    """Finds a person of 8 x 8 px in every full blue cell of the finest grid, nobody in the other grids."""
    fine, others = height * width // 64, height * width // 256 + height * width // 1024
    nodes = [
        helper.make_node("Gather", ["input", "blue"], ["blues"], axis=1),
        helper.make_node("Unsqueeze", ["blues", "one"], ["channel"]),
        helper.make_node("AveragePool", ["channel"], ["cells"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Reshape", ["cells", "column"], ["levels"]),
        helper.make_node("Mul", ["levels", "object"], ["objects"]),
        helper.make_node("Add", ["objects", "cell"], ["near"]),
        helper.make_node("Pad", ["near", "below"], ["output"]),
    ]
    constants = {
        "blue": np.array(0),
        "one": np.array([1]),
        "column": np.array([-1, fine, 1]),
        "object": np.array([0, 0, 0, 0, 1 / 255, 0, 0], np.float32),
        "cell": np.array([0.5, 0.5, 0, 0, 0, 1, 0], np.float32),
        "below": np.array([0, 0, 0, 0, others, 0]),
    }
    shape = [batch, 3, height, width]
    return save(path, nodes, shape, {"output": [batch, fine + others, 7]}, constants)
