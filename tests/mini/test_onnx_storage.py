from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import nn

from charaforge.mini.recipes.export import write_onnx
from charaforge.mini.recipes.onnx_storage import Storage


@pytest.mark.parametrize(("storage", "error"), [(Storage.HALF, 1e-3), (Storage.BYTE, 2e-2)])
def test_outputs_stay_those_of_the_float_model(tmp_path: Path, storage: Storage, error: float) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 32, 3), nn.BatchNorm2d(32), nn.ReLU(), nn.Flatten(), nn.Linear(1152, 8))
    picture = torch.randn(2, 3, 8, 8)
    write_onnx(net, picture[:1], tmp_path / "net.onnx", ["input"], ["output"], storage=storage)
    (found,) = ort.InferenceSession(tmp_path / "net.onnx").run(None, {"input": picture.numpy()})
    told = net(picture).detach().numpy()
    apart = np.abs(found - told).max() / np.abs(told).max()
    assert 0 < apart < error


def test_a_byte_is_half_of_a_half(tmp_path: Path) -> None:
    sizes = {}
    for storage in Storage:
        path = tmp_path / f"{storage}.onnx"
        write_onnx(nn.Linear(256, 256), torch.zeros(1, 256), path, ["input"], ["output"], storage=storage)
        sizes[storage] = path.stat().st_size
    assert sizes[Storage.BYTE] < 0.6 * sizes[Storage.HALF] < 0.6 * 256 * 256 * 2.2
