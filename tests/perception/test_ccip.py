import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from charaforge.errors import ModelFileError
from charaforge.perception.ccip import CLIP_MEAN, CLIP_STD, IdentityEncoder, prepare

from .onnx_models import channel_means


def test_preprocessing_is_that_of_a_second_implementation() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (90, 60, 3), dtype=np.uint8)
    tensor = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    squashed = F.interpolate(tensor, (32, 32), mode="bilinear", antialias=True)[0] / 255
    theirs = (squashed - torch.tensor(CLIP_MEAN)[:, None, None]) / torch.tensor(CLIP_STD)[:, None, None]
    assert np.abs(prepare(Image.fromarray(picture), 32) - theirs.numpy()).max() < 1.1 / 255 / min(CLIP_STD)


def test_embeddings_have_length_one_and_keep_the_order(tmp_path: Path) -> None:
    channel_means(tmp_path / "model_feat.onnx", 16, channel_axis=1)
    colors = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    embeddings = IdentityEncoder(tmp_path).embed([Image.new("RGB", (20, 30), c) for c in colors])
    assert np.allclose(np.linalg.norm(embeddings, axis=1), 1)
    assert embeddings.argmax(1).tolist() == [0, 1, 2]
    assert embeddings.dtype == np.float32


def test_the_threshold_is_read_and_may_be_absent(tmp_path: Path) -> None:
    channel_means(tmp_path / "model_feat.onnx", 16, channel_axis=1)
    assert IdentityEncoder(tmp_path).threshold is None
    (tmp_path / "metrics.json").write_text(json.dumps({"threshold": 0.18}))
    assert IdentityEncoder(tmp_path).threshold == 0.18
    (tmp_path / "metrics.json").write_text("{}")
    with pytest.raises(ModelFileError, match='no number "threshold"'):
        IdentityEncoder(tmp_path)
