"""Second implementations of every preparation, written from the formats' descriptions: NumPy, float64, slow.

Each takes what can go wrong as arguments, so that a test can show that a mistake would be seen.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.float64]


def bicubic(x: Pixels) -> Pixels:
    """Keys' kernel with a = -0.5, as Pillow has it."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def bilinear(x: Pixels) -> Pixels:
    return np.maximum(1 - np.abs(x), 0)


def filtered(pixels: Pixels, height: int, width: int, kernel: Callable[[Pixels], Pixels]) -> Pixels:
    """Resize as Pillow does: kernels widened where it shrinks, 8 bits after either axis, first across."""
    for axis, size in ((1, width), (0, height)):
        old = pixels.shape[axis]
        scale = max(old / size, 1.0)
        centres = (np.arange(size) + 0.5) * old / size
        weights = kernel((np.arange(old)[None] + 0.5 - centres[:, None]) / scale)
        weights /= weights.sum(1, keepdims=True)
        pixels = np.moveaxis(np.tensordot(weights, pixels, (1, axis)), 0, axis)
        pixels = np.floor(pixels + 0.5).clip(0, 255)
    return pixels


def by_area(pixels: Pixels, height: int, width: int) -> Pixels:
    """Resize: every new pixel is the mean of what it covers."""
    for axis, size in ((0, height), (1, width)):
        old = pixels.shape[axis]
        left, right = np.arange(size)[:, None] * old / size, (np.arange(size)[:, None] + 1) * old / size
        cells = np.arange(old)[None]
        covered = (np.minimum(right, cells + 1) - np.maximum(left, cells)).clip(0)
        weights = covered / covered.sum(1, keepdims=True)
        pixels = np.moveaxis(np.tensordot(weights, pixels, (1, axis)), 0, axis)
    return pixels


def sampled(pixels: Pixels, xs: Pixels, ys: Pixels, outside: float | None) -> Pixels:
    """Look up bilinearly at xs (W,) and ys (H,), pixel i at i; outside: a value, or None for the edge's."""
    height, width = pixels.shape[:2]
    total = np.zeros((len(ys), len(xs), pixels.shape[2]))
    x0, y0 = np.floor(xs).astype(int), np.floor(ys).astype(int)
    for dy in (0, 1):
        for dx in (0, 1):
            x, y = x0 + dx, y0 + dy
            weight = (1 - np.abs(ys - y))[:, None] * (1 - np.abs(xs - x))[None]
            taken = pixels[y.clip(0, height - 1)][:, x.clip(0, width - 1)]
            if outside is not None:
                seen = ((y >= 0) & (y < height))[:, None] & ((x >= 0) & (x < width))[None]
                taken = np.where(seen[..., None], taken, outside)
            total += weight[..., None] * taken
    return total


def without_antialiasing(pixels: Pixels, height: int, width: int) -> Pixels:
    """Resize bilinearly as OpenCV does: pixel centres on pixel centres, no wider kernel where it shrinks."""
    xs = (np.arange(width) + 0.5) * pixels.shape[1] / width - 0.5
    ys = (np.arange(height) + 0.5) * pixels.shape[0] / height - 0.5
    return sampled(pixels, xs.clip(0, pixels.shape[1] - 1), ys.clip(0, pixels.shape[0] - 1), None)


def flattened(
    image: Image.Image, paper: float = 255, own_mask: bool = False, ignore_alpha: bool = False
) -> Pixels:
    """RGB of a picture of mode 1, L, RGB or RGBA; `own_mask`: the bug that takes grey for its own mask."""
    values = np.asarray(image).astype(np.float64) * (255 if image.mode == "1" else 1)
    if image.mode in ("1", "L"):
        grey = np.repeat(values[..., None], 3, 2)
        return grey * grey / 255 + 255 * (1 - grey / 255) if own_mask else grey
    if image.mode == "RGB" or ignore_alpha:
        return values[..., :3]
    alpha = values[..., 3:] / 255
    return values[..., :3] * alpha + paper * (1 - alpha)


def on_square(pixels: Pixels, edge: int, padding: float = 255, corner: bool = False) -> Pixels:
    height, width = pixels.shape[:2]
    top, left = (0, 0) if corner else ((edge - height) // 2, (edge - width) // 2)
    square = np.full((edge, edge, 3), float(padding))
    square[top : top + height, left : left + width] = pixels
    return square


def wd14_v3(
    image: Image.Image, side: int, swapped: bool = False, kernel=bicubic, top: float = 255, **wrong
) -> Pixels:
    placed = {key: wrong.pop(key) for key in ("padding", "corner") if key in wrong}
    flat = np.rint(flattened(image, **wrong))
    square = on_square(flat, max(flat.shape[:2]), **placed)
    resized = square if len(square) == side else filtered(square, side, side, kernel)
    return (resized if swapped else resized[..., ::-1]) * top / 255


def wd14_v2(image: Image.Image, side: int, swapped: bool = False, enlarge: bool = False, **wrong) -> Pixels:
    placed = {key: wrong.pop(key) for key in ("padding", "corner") if key in wrong}
    flat = np.rint(flattened(image, **wrong))
    edge = max(flat.shape[:2]) if enlarge else max(*flat.shape[:2], side)
    resized = by_area(on_square(flat, edge, **placed), side, side)
    return resized if swapped else resized[..., ::-1]


def deepdanbooru(
    image: Image.Image,
    side: int,
    swapped: bool = False,
    black: bool = False,
    squashed: bool = False,
    top: float = 1,
    kernel: Callable[[Pixels], Pixels] | None = None,
    **wrong,
) -> Pixels:
    flat = np.rint(flattened(image, **wrong))
    scale = min(side / flat.shape[0], side / flat.shape[1])
    height, width = (side, side) if squashed else (max(1, round(flat.shape[i] * scale)) for i in (0, 1))
    resized = filtered(flat, height, width, kernel) if kernel else by_area(flat, height, width)
    xs, ys = np.arange(side) - (side - width) / 2, np.arange(side) - (side - height) / 2
    if not black:
        xs, ys = xs.clip(0, width - 1), ys.clip(0, height - 1)
    laid = sampled(resized, xs, ys, 0 if black else None)
    return (laid[..., ::-1] if swapped else laid) * top / 255


def yolox(
    image: Image.Image, side: int, swapped: bool = False, padding: float = 114, centred: bool = False, **wrong
) -> Pixels:
    flat = np.rint(flattened(image, **wrong))
    scale = min(side / flat.shape[0], side / flat.shape[1])
    height, width = (max(1, int(flat.shape[i] * scale)) for i in (0, 1))
    top, left = ((side - height) // 2, (side - width) // 2) if centred else (0, 0)
    canvas = np.full((side, side, 3), float(padding))
    canvas[top : top + height, left : left + width] = without_antialiasing(flat, height, width)
    return (canvas if swapped else canvas[..., ::-1]).transpose(2, 0, 1)


def mmpose_fit(
    image: Image.Image, side: int, swapped: bool = False, padding: float = 0, raw: bool = False, **wrong
) -> Pixels:
    """The whole picture in the middle of the input, its aspect kept, on black."""
    flat = np.rint(flattened(image, **wrong))
    scale = min(side / flat.shape[0], side / flat.shape[1])
    height, width = (max(1, round(flat.shape[i] * scale)) for i in (0, 1))
    top, left = (round((side - flat.shape[i] * scale) / 2) for i in (0, 1))
    canvas = np.full((side, side, 3), float(padding))
    resized = flat if (height, width) == flat.shape[:2] else filtered(flat, height, width, bilinear)
    canvas[top : top + height, left : left + width] = resized[: side - top, : side - left]
    canvas = canvas[..., ::-1] if swapped else canvas
    mean, std = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
    return (canvas / 255 if raw else (canvas - mean) / std).transpose(2, 0, 1)


def mmpose_crop(
    image: Image.Image,
    box: tuple[float, float, float, float],
    width: int,
    height: int,
    swapped: bool = False,
    padding: float = 1.25,
    squashed: bool = False,
    raw: bool = False,
) -> Pixels:
    """Top-down crop by centre and scale; the input's (x, y) shows the picture's start + (x, y) * step."""
    centre = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    wide, high = (box[2] - box[0]) * padding, (box[3] - box[1]) * padding
    if not squashed:
        wide, high = max(wide, high * width / height), max(high, wide * height / width)
    xs = centre[0] - wide / 2 + np.arange(width) * wide / width
    ys = centre[1] - high / 2 + np.arange(height) * high / height
    seen = sampled(np.asarray(image.convert("RGB"), np.float64), xs, ys, 0)
    seen = seen[..., ::-1] if swapped else seen
    mean, std = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
    return (seen / 255 if raw else (seen - mean) / std).transpose(2, 0, 1)


def ccip(
    image: Image.Image, side: int, swapped: bool = False, kernel=bilinear, plain: bool = False, **wrong
) -> Pixels:
    unit = filtered(np.rint(flattened(image, **wrong)), side, side, kernel) / 255
    unit = unit[..., ::-1] if swapped else unit
    mean, std = np.array([0.48145466, 0.4578275, 0.40821073]), np.array([0.26862954, 0.26130258, 0.27577711])
    return (unit if plain else (unit - mean) / std).transpose(2, 0, 1)
