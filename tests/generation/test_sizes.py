from __future__ import annotations

import pytest
from PIL import Image

from charaforge.generation.sizes import RenderSize, fit, hires_size, render_size

MINI = {"native_side": 128, "max_side": 128}


@pytest.mark.parametrize(
    ("asked", "rendered", "enlarged"),
    [
        ((128, 128), (128, 128), False),
        ((128, 64), (128, 64), False),
        ((512, 512), (128, 128), True),
        ((768, 768), (128, 128), True),
        ((512, 768), (104, 160), True),
        ((136, 136), (128, 128), True),
        ((2048, 512), (256, 64), True),
        ((2048, 256), (512, 64), True),
    ],
)
def test_mini_models_render_their_native_area(
    asked: tuple[int, int], rendered: tuple[int, int], enlarged: bool
) -> None:
    size = render_size(*asked, MINI)
    assert ((size.width, size.height), size.enlarged) == (rendered, enlarged)


def test_other_models_render_the_size_asked() -> None:
    size = render_size(768, 1024, {})
    assert (size.width, size.height, size.enlarged) == (768, 1024, False)


def test_fit_gives_exactly_the_size_and_keeps_the_shape_of_things() -> None:
    picture = Image.new("RGB", (400, 600), "white")
    picture.paste("black", (100, 200, 300, 400))  # a square
    fitted = fit(picture, 512, 512).convert("L").point(lambda value: 255 * (value < 128))
    assert fitted.size == (512, 512)
    box = fitted.getbbox()
    assert box is not None
    left, top, right, bottom = box
    assert abs((right - left) - (bottom - top)) <= 1
    assert abs((left + right) - 512) <= 1


def test_two_passes_of_models_with_and_without_a_native_area() -> None:
    assert hires_size(1024, 768, {}, 2.0) == RenderSize(1024, 768, False, (512, 384))
    assert hires_size(1000, 744, {}, 1.5) == RenderSize(1000, 744, False, (664, 496))
    assert hires_size(512, 512, MINI, 2.0) == RenderSize(128, 128, True, (128, 128))
    assert hires_size(128, 64, MINI, 2.0) == RenderSize(128, 64, False, (128, 64))
    assert render_size(64, 64, {}).begun == (64, 64)
    assert hires_size(1024, 768, {}, 2.0).begun == (512, 384)
