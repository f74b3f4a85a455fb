"""Every preparation equals its second implementation, and no usual mistake would pass for it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw

from charaforge.perception import ccip, deepdanbooru, detector, simcc, wd14
from charaforge.perception.flatten import bounded

from . import golden

SIDE = 32
Prepared = Callable[..., np.ndarray]


def drawing(mode: str, size: tuple[int, int] = (90, 60)) -> Image.Image:
    """Lines and colours as an anime picture has them, red to the left, blue to the right."""
    ramp = np.linspace(0, 255, size[0] * size[1]).reshape(size[::-1])
    image = Image.fromarray(np.stack([255 - ramp, ramp * 0.4, ramp], 2).astype(np.uint8))
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 0, size[0] // 3, size[1] // 2), fill=(230, 40, 20))
    pen.rectangle((size[0] // 2, size[1] // 3, size[0], size[1]), fill=(30, 80, 240))
    pen.line((0, size[1], size[0], 0), fill=0, width=3)
    if mode == "RGBA":
        image = image.convert("RGBA")
        image.putalpha(Image.fromarray(((ramp[::-1] > 96) * ramp).astype(np.uint8)))
        return image
    return image.convert("L").convert("1", dither=Image.Dither.NONE) if mode == "1" else image.convert(mode)


def theirs_of(name: str) -> Prepared:
    return {
        "wd14-v3": golden.wd14_v3,
        "wd14-v2": golden.wd14_v2,
        "deepdanbooru": golden.deepdanbooru,
        "yolox": golden.yolox,
        "ccip": golden.ccip,
        "simcc": golden.mmpose_fit,
    }[name]


def ours_of(name: str, image: Image.Image, side: int = SIDE) -> np.ndarray:
    return {
        "wd14-v3": lambda: wd14.prepare(image, side),
        "wd14-v2": lambda: wd14.prepare_v2(image, side),
        "deepdanbooru": lambda: deepdanbooru.prepare(image, side),
        "yolox": lambda: detector.prepare(image, side, side),
        "ccip": lambda: ccip.prepare(image, side),
        "simcc": lambda: simcc.prepare(image, side, side),
    }[name]()


# 8-bit roundings on the way; in the units of each input
TOLERANCE = {
    "wd14-v3": 1.01,
    "wd14-v2": 1.01,
    "deepdanbooru": 0.51 / 255,
    "yolox": 1.01,
    "ccip": 1.01 / 255 / 0.26,
    "simcc": 1.01 / 57,
}


def agree(name: str, ours: np.ndarray, theirs: np.ndarray) -> bool:
    return ours.shape == theirs.shape and float(np.abs(ours - theirs).max()) <= TOLERANCE[name]


@pytest.mark.parametrize("size", [(90, 60), (41, 77), (32, 32), (20, 13), (13, 20), (200, 3)])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "1"])
@pytest.mark.parametrize("name", TOLERANCE)
def test_preparations_are_those_of_the_second_implementation(
    name: str, mode: str, size: tuple[int, int]
) -> None:
    image = drawing(mode, size)
    ours = ours_of(name, image)
    assert ours.dtype == np.float32
    assert ours.flags.c_contiguous
    assert agree(name, ours, theirs_of(name)(image, SIDE)), f"{name} {mode} {size}"


SWAPPED = {"swapped": True}
MISTAKES = [
    *((name, "RGB", SWAPPED) for name in TOLERANCE),
    *((name, "RGBA", {"paper": 0}) for name in TOLERANCE),
    *((name, "RGBA", {"ignore_alpha": True}) for name in TOLERANCE),
    *((name, mode, {"own_mask": True}) for name in TOLERANCE for mode in ("L", "1")),
    *((name, "RGB", {"padding": 0}) for name in ("wd14-v3", "wd14-v2", "yolox")),
    ("simcc", "RGB", {"padding": 114}),
    ("simcc", "RGB", {"raw": True}),
    *((name, "RGB", {"corner": True}) for name in ("wd14-v3", "wd14-v2")),
    ("wd14-v3", "RGB", {"top": 1}),
    ("wd14-v3", "RGB", {"kernel": golden.bilinear}),
    ("deepdanbooru", "RGB", {"black": True}),
    ("deepdanbooru", "RGB", {"squashed": True}),
    ("deepdanbooru", "RGB", {"top": 255}),
    ("deepdanbooru", "RGB", {"kernel": golden.bicubic}),
    ("yolox", "RGB", {"centred": True}),
    ("yolox", "RGB", {"padding": 255}),
    ("ccip", "RGB", {"plain": True}),
    ("ccip", "RGB", {"kernel": golden.bicubic}),
]


@pytest.mark.parametrize(("name", "mode", "mistake"), MISTAKES)
def test_the_comparison_sees_every_usual_mistake(name: str, mode: str, mistake: dict) -> None:
    image = drawing(mode)
    ours = ours_of(name, image)
    assert agree(name, ours, theirs_of(name)(image, SIDE))
    if mode == "1" and mistake == {"own_mask": True}:
        # black as its own mask is transparent, hence white: nothing of the drawing is left
        assert np.ptp(golden.flattened(image, own_mask=True)) == 0
    assert not agree(name, ours, theirs_of(name)(image, SIDE, **mistake))


@pytest.mark.parametrize("name", TOLERANCE)
def test_the_comparison_sees_another_layout(name: str) -> None:
    ours = ours_of(name, drawing("RGB"))
    other = (2, 0, 1) if ours.shape[-1] == 3 else (1, 2, 0)
    assert not agree(name, ours.transpose(other), theirs_of(name)(drawing("RGB"), SIDE))


def test_the_second_generation_of_wd14_does_not_enlarge() -> None:
    small = drawing("RGB", (20, 13))
    assert agree("wd14-v2", ours_of("wd14-v2", small), golden.wd14_v2(small, SIDE))
    assert not agree("wd14-v2", ours_of("wd14-v2", small), golden.wd14_v2(small, SIDE, enlarge=True))
    assert not agree("wd14-v2", ours_of("wd14-v3", small), golden.wd14_v2(small, SIDE))


BOXES = [(10.0, 5.0, 50.0, 45.0), (0.0, 0.0, 90.0, 60.0), (70.0, 40.0, 88.0, 58.5), (30.5, 2.25, 36.0, 58.0)]
# OpenCV rounds positions to 1/32 px: at edges of 255 levels up to 16 levels, each 1/57 of the input's unit
CROP_TOLERANCE = 16 / 57


@pytest.mark.parametrize("box", BOXES)
def test_a_person_is_cut_out_as_by_the_second_implementation(box: tuple[float, float, float, float]) -> None:
    image = drawing("RGB")
    ours = simcc.crop(image, np.array(box, np.float32), 24, 32)
    apart = np.abs(ours - golden.mmpose_crop(image, box, 24, 32))
    assert apart.max() <= CROP_TOLERANCE
    assert apart.mean() <= 0.02


@pytest.mark.parametrize("mistake", [SWAPPED, {"padding": 1.0}, {"squashed": True}, {"raw": True}])
def test_the_comparison_sees_mistakes_in_cutting_out(mistake: dict) -> None:
    image = drawing("RGB")
    ours = simcc.crop(image, np.array(BOXES[0], np.float32), 24, 32)
    assert np.abs(ours - golden.mmpose_crop(image, BOXES[0], 24, 32, **mistake)).max() > 2 * CROP_TOLERANCE


@pytest.mark.parametrize("name", ["wd14-v3", "wd14-v2", "deepdanbooru"])
def test_very_long_pictures_are_shrunk_before_they_are_padded(name: str) -> None:
    strip = Image.new("RGB", (20_000, 2000), "white")
    strip.paste("red", (0, 0, 20_000, 1000))
    strip.paste("blue", (0, 1000, 20_000, 2000))
    assert max(bounded(strip, 8192).size) == 6667
    ours, theirs = (
        ours_of(name, picture) for picture in (strip, strip.resize((2000, 200), Image.Resampling.BOX))
    )
    assert np.abs(ours - theirs).max() <= 4 * TOLERANCE[name]


def test_areas_are_those_of_opencv_where_it_shrinks() -> None:
    import cv2

    from charaforge.perception.areas import resize_by_area

    picture = np.random.default_rng(0).uniform(0, 255, (45, 77, 3))
    theirs = cv2.resize(picture, (31, 20), interpolation=cv2.INTER_AREA)
    assert np.abs(resize_by_area(picture, 20, 31) - theirs).max() < 1e-3
