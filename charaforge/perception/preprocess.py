"""From a picture to a control map, and any picture or map to the size that is rendered.

Maps are as the published ControlNets know them: poses in OpenPose's colours on black, edges and lines white
on black, depth white = near. Letterboxing keeps the aspect and pads with black: no line where nothing is.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]
Size = tuple[int, int]

CANNY_LOW, CANNY_HIGH = 100, 200
_DARK = 24  # brightness up to which a pixel of a map counts as background
_GREY = 12  # how far the channels of a grey pixel may lie apart
_BACKGROUND = 0.6  # least share of dark pixels in a map of lines or poses


def placement(size: Size, box: Size) -> tuple[float, int, int]:
    """Return scale, left and top of a picture of `size` that is laid into a box, the aspect kept."""
    scale = min(box[0] / size[0], box[1] / size[1])
    return scale, round((box[0] - size[0] * scale) / 2), round((box[1] - size[1] * scale) / 2)


def resized(image: Image.Image, box: Size, resample: Image.Resampling) -> Image.Image:
    """Return the picture as large as it fits into the box."""
    scale, left, top = placement(image.size, box)
    size = (
        min(max(1, round(image.width * scale)), box[0] - left),
        min(max(1, round(image.height * scale)), box[1] - top),
    )
    return image if size == image.size else image.resize(size, resample)


def padded(image: Image.Image, source: Size, box: Size) -> Pixels:
    """Lay what `resized` gave of a picture of the size `source` on black: uint8 (height, width, 3)."""
    _, left, top = placement(source, box)
    canvas = Image.new("RGB", box)
    canvas.paste(image.convert("RGB"), (left, top))
    return np.asarray(canvas)


def placed_points(
    points: npt.NDArray[np.float32], source: tuple[float, float], box: Size
) -> npt.NDArray[np.float32]:
    """Return key points (P, 18, 3) of a canvas of the size `source` as they lie in the box."""
    scale = min(box[0] / source[0], box[1] / source[1])
    offset = [(box[0] - source[0] * scale) / 2, (box[1] - source[1] * scale) / 2]
    moved = points.copy()
    # the centre of pixel i is i, so that the edge of the canvas lies at -0.5
    moved[..., :2] = (points[..., :2] + 0.5) * scale - 0.5 + np.asarray(offset, np.float32)
    return moved


def canny(image: Image.Image) -> Image.Image:
    """Return the edges of a picture (Canny 1986, limits 100 and 200), white on black."""
    import cv2

    grey = np.asarray(image.convert("L"))
    return Image.fromarray(cv2.Canny(grey, CANNY_LOW, CANNY_HIGH))


def looks_like_map(control: str, image: Image.Image) -> bool:
    """Return whether a picture is already a map of this type.

    Depth: grey throughout. Edges and lines: grey, and dark for the most part. Poses: dark for the most part,
    and what is not dark is coloured.

    Args:
        control: "pose", "depth", "canny" or "lineart".
        image: any size; judged at 128 px.
    """
    small = np.asarray(image.convert("RGB").resize((128, 128), Image.Resampling.NEAREST), np.int16)
    brightness, spread = small.max(-1), small.max(-1) - small.min(-1)
    grey = bool((spread <= _GREY).mean() > 0.99)
    dark = bool((brightness <= _DARK).mean() >= _BACKGROUND)
    if control == "depth":
        return grey
    if control in ("canny", "lineart"):
        return grey and dark
    lit = brightness > _DARK
    return dark and bool(lit.any()) and bool((spread[lit] > brightness[lit] // 2).mean() > 0.8)
