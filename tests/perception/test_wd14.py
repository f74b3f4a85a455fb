from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from charaforge.errors import ModelFileError
from charaforge.perception.wd14 import WD14Tagger, prepare

from .onnx_models import channel_means

HEADER = "tag_id,name,category,count\n"


def folder_of(tmp_path: Path, table: str = HEADER + "0,blue_hair,0,5\n1,green_hair,0,3\n2,^_^,0,1\n") -> Path:
    channel_means(tmp_path / "model.onnx", 16, channel_axis=3)
    (tmp_path / "selected_tags.csv").write_text(table)
    return tmp_path


def test_channels_are_bgr_from_0_to_255(tmp_path: Path) -> None:
    scores = WD14Tagger(folder_of(tmp_path)).tag([Image.new("RGB", (16, 16), (255, 128, 0))])
    assert scores.probabilities.tolist() == [[0, 128, 255]]
    assert scores.names == ("blue hair", "green hair", "^_^")


def test_more_pictures_than_a_batch_keep_their_order(tmp_path: Path) -> None:
    shades = [Image.new("RGB", (16, 16), (i, i, i)) for i in range(70)]
    scores = WD14Tagger(folder_of(tmp_path)).tag(shades)
    assert scores.probabilities[:, 0].tolist() == list(range(70))


def test_no_pictures_give_no_rows(tmp_path: Path) -> None:
    assert WD14Tagger(folder_of(tmp_path)).tag([]).probabilities.shape == (0, 3)


def test_transparent_and_wide_pictures_as_computed_by_hand() -> None:
    rng = np.random.default_rng(0)
    rgba = rng.integers(0, 256, (40, 64, 4), dtype=np.uint8)
    ours = prepare(Image.fromarray(rgba, "RGBA"), 32)
    alpha = rgba[..., 3:].astype(np.float64) / 255
    flat = rgba[..., :3] * alpha + 255 * (1 - alpha)
    square = np.full((64, 64, 3), 255.0)
    square[12:52] = flat
    tensor = torch.from_numpy(square).permute(2, 0, 1)[None]
    theirs = F.interpolate(tensor, (32, 32), mode="bicubic", antialias=True)[0].permute(1, 2, 0).numpy()
    apart = np.abs(ours - theirs.clip(0, 255)[..., ::-1])
    assert apart.max() <= 4  # Pillow rounds and clips between its two passes
    assert apart.mean() < 0.5


def test_grey_pictures_are_not_taken_for_their_own_mask() -> None:
    grey = Image.fromarray(np.array([[0, 64], [128, 255]], np.uint8), "L")
    assert prepare(grey, 2)[..., 0].tolist() == [[0, 64], [128, 255]]


def test_a_table_of_another_length_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"gives 3 tags, selected_tags\.csv names 1"):
        WD14Tagger(folder_of(tmp_path, HEADER + "0,blue_hair,0,5\n"))


def test_a_table_without_the_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no WD14 tag table"):
        WD14Tagger(folder_of(tmp_path, "a,b\n1,2\n"))


def test_missing_and_broken_models_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"model\.onnx does not exist"):
        WD14Tagger(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(ModelFileError, match="cannot be opened"):
        WD14Tagger(tmp_path)
