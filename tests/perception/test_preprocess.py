from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from charaforge.errors import ModelFileError
from charaforge.perception.annotator import Annotator
from charaforge.perception.openpose_map import render_pose
from charaforge.perception.preprocess import canny, looks_like_map, padded, placed_points, resized
from tests.fixtures.tiny_controls import tiny_annotator
from tests.fixtures.tiny_models import tiny_upscaler


def photo(size: tuple[int, int] = (96, 64)) -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 255, (6, 6, 3), np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


@pytest.mark.parametrize(
    ("size", "box", "place"),
    [
        ((100, 50), (64, 64), (0, 16, 64, 48)),
        ((50, 100), (64, 64), (16, 0, 48, 64)),
        ((64, 64), (64, 64), (0, 0, 64, 64)),
        ((10, 10), (128, 64), (32, 0, 96, 64)),
        ((3000, 10), (64, 64), (0, 32, 64, 33)),
        ((10, 3000), (64, 64), (32, 0, 33, 64)),
    ],
)
def test_letterboxing_keeps_the_aspect_and_pads_with_black(
    size: tuple[int, int], box: tuple[int, int], place: tuple[int, int, int, int]
) -> None:
    white = Image.new("RGB", size, "white")
    laid = padded(resized(white, box, Image.Resampling.BILINEAR), size, box)
    assert laid.shape == (box[1], box[0], 3)
    assert Image.fromarray(laid).getbbox() == place


def test_key_points_go_where_the_picture_goes() -> None:
    dot = Image.new("L", (90, 40))
    ImageDraw.Draw(dot).rectangle((58, 8, 61, 11), fill=255)  # its middle is (59.5, 9.5)
    laid = padded(resized(dot, (64, 64), Image.Resampling.BOX), dot.size, (64, 64))[..., 0].astype(float)
    y, x = ((laid * grid).sum() / laid.sum() for grid in np.mgrid[:64, :64])
    point = placed_points(np.array([[[59.5, 9.5, 1.0]]], np.float32), dot.size, (64, 64))[0, 0]
    assert point[2] == 1.0
    assert np.allclose(point[:2], (x, y), atol=0.5)


def test_edges_are_white_on_black() -> None:
    square = Image.new("RGB", (64, 64), "white")
    ImageDraw.Draw(square).rectangle((16, 16, 47, 47), fill="navy")
    found = np.asarray(canny(square))
    assert set(np.unique(found)) == {0, 255}
    assert found[16:48, 14:18].any()
    assert not found[24:40, 24:40].any()


def test_maps_are_told_from_pictures() -> None:
    lines = Image.new("RGB", (200, 100))
    ImageDraw.Draw(lines).line((10, 10, 190, 90), fill="white", width=3)
    depth = Image.linear_gradient("L").convert("RGB")
    points = np.array([[[20 + 3 * n, 100 - 4 * n, 1.0] for n in range(18)]], np.float32)
    pose = Image.fromarray(render_pose(points, 128, 128))
    drawn = {"canny": lines, "lineart": lines, "depth": depth, "pose": pose}
    for kind, image in drawn.items():
        assert looks_like_map(kind, image)
        assert not looks_like_map(kind, photo())
    assert not looks_like_map("pose", lines)
    assert not looks_like_map("lineart", pose)
    assert not looks_like_map("canny", depth)
    assert not looks_like_map("pose", Image.new("RGB", (64, 64)))
    sketch = Image.new("RGB", (64, 64), "white")  # dark lines on white are a picture, not a map
    ImageDraw.Draw(sketch).line((0, 0, 63, 63), fill="black")
    assert not looks_like_map("lineart", sketch)


def test_an_annotator_draws_at_the_size_of_the_picture(tmp_path: Path) -> None:
    annotator = Annotator(tiny_annotator(tmp_path / "a"))
    picture = photo((100, 50))
    depth, lines = (np.asarray(annotator.draw(kind, picture), np.int16) for kind in ("depth", "lineart"))
    assert depth.shape == lines.shape == (50, 100)
    assert np.abs(depth + lines - 255).max() <= 2
    assert np.abs(depth - np.asarray(picture, np.float32).mean(2)).mean() < 8
    with pytest.raises(ModelFileError, match="not normals"):
        annotator.draw("normals", picture)
    with pytest.raises(ModelFileError, match="depth or lineart"):
        Annotator(tiny_upscaler(tmp_path / "b"))
