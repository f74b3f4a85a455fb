import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from charaforge.errors import ModelFileError
from charaforge.perception.judge import SignatureJudge, SignatureScores

from .onnx_models import channel_means


def test_probabilities_per_group_sum_to_one(tmp_path: Path) -> None:
    channel_means(tmp_path / "model.onnx", 16, channel_axis=1)
    (tmp_path / "labels.json").write_text(json.dumps({"kinds": ["none", "horns"], "colors": ["none"]}))
    scores = SignatureJudge(tmp_path).judge([Image.new("RGB", (16, 16), (0, 255, 0))])
    assert scores.kinds[0].tolist() == pytest.approx([1 / (1 + np.e), np.e / (1 + np.e)])
    assert scores.colors.tolist() == [[1.0]]


def test_no_kind_means_no_colour() -> None:
    kinds = np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)
    colors = np.array([[0.1, 0.9], [0.1, 0.9]], np.float32)
    scores = SignatureScores(kinds, colors, ("none", "horns"), ("none", "aqua"))
    assert scores.decided() == [("none", "none"), ("horns", "aqua")]


def test_missing_labels_are_named(tmp_path: Path) -> None:
    channel_means(tmp_path / "model.onnx", 16, channel_axis=1)
    with pytest.raises(ModelFileError, match=r"labels.json cannot be read"):
        SignatureJudge(tmp_path)
