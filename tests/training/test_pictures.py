from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from charaforge.errors import DatasetError
from charaforge.training.pictures import cut, middle, read_picture


def test_a_transparent_picture_lies_on_white(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(path)
    assert read_picture(path).rgb.getpixel((0, 0)) == (255, 255, 255)


def test_sixteen_bits_keep_their_brightness(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.full((4, 4), 32768, np.uint16)).save(path)
    assert read_picture(path).rgb.getpixel((0, 0)) == (128, 128, 128)


def test_a_picture_is_turned_upright(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees
    Image.new("RGB", (8, 4)).save(path, exif=exif)
    assert read_picture(path).rgb.size == (4, 8)


def test_a_cut_off_file_is_refused(tmp_path: Path) -> None:
    whole = io.BytesIO()
    Image.effect_noise((64, 64), 90).save(whole, "PNG")
    path = tmp_path / "cut.png"
    path.write_bytes(whole.getvalue()[:1500])
    with pytest.raises(DatasetError, match=r"cut\.png"):
        read_picture(path)


@pytest.mark.parametrize("data", [b"", b"not a picture"])
def test_what_is_no_picture_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "text.png"
    path.write_bytes(data)
    with pytest.raises(DatasetError, match="not a picture"):
        read_picture(path)


def test_cut_takes_the_middle_and_scales_to_plus_minus_one() -> None:
    picture = Image.new("RGB", (96, 64), "white")
    picture.paste("black", (0, 0, 16, 64))
    picture.paste("black", (80, 0, 96, 64))
    assert torch.equal(cut(picture, (64, 64), middle(picture.size, (64, 64))), torch.ones(3, 64, 64))
