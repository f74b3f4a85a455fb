"""What happens to pictures on their way through the net: twelve transforms, each with chance of its own."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Pixels = npt.NDArray[np.uint8]
Attack = Callable[[Image.Image, random.Random], Image.Image]


def attacked(pixels: Pixels, name: str, rng: random.Random) -> Pixels:
    """Return a transformed copy of a picture, uint8 (H, W, 3).

    Args:
        pixels: uint8 (H, W, 3).
        name: one of `ATTACKS`.
        rng: decides strength and place.
    """
    return np.asarray(ATTACKS[name](Image.fromarray(pixels), rng).convert("RGB"))


def _resize(picture: Image.Image, rng: random.Random) -> Image.Image:
    factor = rng.choice((0.4, 0.5, 0.7, 1.5, 2.0))
    size = (round(picture.width * factor), round(picture.height * factor))
    return picture.resize(size, rng.choice((Image.Resampling.BICUBIC, Image.Resampling.BILINEAR)))


def _saved(picture: Image.Image, **options: object) -> Image.Image:
    stream = io.BytesIO()
    picture.save(stream, **options)  # type: ignore[arg-type]  # Pillow's options differ by format
    return Image.open(stream)


def _jpeg(picture: Image.Image, rng: random.Random) -> Image.Image:
    return _saved(picture, format="JPEG", quality=30)


def _reencode(picture: Image.Image, rng: random.Random) -> Image.Image:
    if rng.random() < 0.5:
        return _saved(picture, format="WEBP", quality=rng.randint(60, 90))
    return _saved(_saved(picture, format="JPEG", quality=rng.randint(70, 90)), format="JPEG", quality=85)


def _blur(picture: Image.Image, rng: random.Random) -> Image.Image:
    return picture.filter(ImageFilter.GaussianBlur(picture.width * rng.uniform(0.004, 0.01)))


def _gamma(picture: Image.Image, rng: random.Random) -> Image.Image:
    gamma = rng.choice((rng.uniform(0.65, 0.85), rng.uniform(1.18, 1.5)))
    return Image.fromarray(np.rint(255 * (np.asarray(picture) / 255) ** gamma).astype(np.uint8))


def _written(
    picture: Image.Image, text: str, size: float, place: tuple[float, float], alpha: int
) -> Image.Image:
    """Write on a picture: size and place as shares of its width and height."""
    layer = Image.new("RGBA", picture.size)
    font = ImageFont.load_default(picture.width * size)
    at = (picture.width * place[0], picture.height * place[1])
    ImageDraw.Draw(layer).text(
        at, text, font=font, fill=(255, 255, 255, alpha), stroke_width=1, stroke_fill=(0, 0, 0, alpha)
    )
    return Image.alpha_composite(picture.convert("RGBA"), layer)


def _watermark(picture: Image.Image, rng: random.Random) -> Image.Image:
    return _written(picture, "sample.example", 0.1, (0.1, rng.uniform(0.4, 0.6)), 90)


def _text(picture: Image.Image, rng: random.Random) -> Image.Image:
    return _written(picture, "@somebody 2026", 0.05, (rng.uniform(0.02, 0.5), 0.92), 255)


def _mirror(picture: Image.Image, rng: random.Random) -> Image.Image:
    return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def _rot90(picture: Image.Image, rng: random.Random) -> Image.Image:
    return picture.transpose(rng.choice((Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270)))


def _crop(picture: Image.Image, rng: random.Random) -> Image.Image:
    across, down = round(picture.width * 0.05), round(picture.height * 0.05)
    left, top = rng.randint(0, across), rng.randint(0, down)
    return picture.crop((left, top, left + picture.width - across, top + picture.height - down))


def _pad(picture: Image.Image, rng: random.Random) -> Image.Image:
    width, height = round(picture.width * 1.1), round(picture.height * 1.1)
    wide = Image.new("RGB", (width, height), rng.choice(("white", "black")))
    wide.paste(picture, ((width - picture.width) // 2, (height - picture.height) // 2))
    return wide


def _colour(picture: Image.Image, rng: random.Random) -> Image.Image:
    shift = np.array([rng.uniform(-18, 18) for _ in range(3)])
    return Image.fromarray(np.rint(np.asarray(picture) + shift).clip(0, 255).astype(np.uint8))


ATTACKS: Mapping[str, Attack] = {
    "resize": _resize,
    "JPEG q30": _jpeg,
    "blur": _blur,
    "gamma": _gamma,
    "watermark": _watermark,
    "mirror": _mirror,
    "rot90": _rot90,
    "5 % crop": _crop,
    "pad": _pad,
    "text": _text,
    "colour shift": _colour,
    "re-encode": _reencode,
}
