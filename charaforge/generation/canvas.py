"""Img2img and inpainting in pixels: what is given to the model, and how its answer becomes the picture.

All is done at the size asked for. The picture to start from is cut to its aspect and brought to that size
(untouched where it has it). The part that is redrawn, the whole or the masked area with its padding, is
brought to the size that the model renders: for a model with `max_side` its native area. The answer is brought
back to the size of that part, by the upscaler where it is enlarged, and laid over the original through the
blurred mask: where that is black, the pixels are exactly the original's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from charaforge.errors import UsageError
from charaforge.generation.sizes import fit
from charaforge.requests.inputs import InitImage

Size = tuple[int, int]
Box = tuple[int, int, int, int]
_FILL_BLUR = 0.125  # radius as a share of the longer side


@dataclass(frozen=True)
class Canvas:
    """A picture to start from, made ready.

    Attributes:
        original: RGB, of the size asked for.
        mask: L, of that size, blurred: white = redraw; None = redraw all.
        box: the part of it that is rendered: left, top, right, bottom.
        work: RGB, that part at the size that the model renders, filled where the mask says so.
        kept: the same, unfilled.
    """

    original: Image.Image
    mask: Image.Image | None
    box: Box
    work: Image.Image
    kept: Image.Image

    @property
    def box_size(self) -> Size:
        """Width and height of the part that is rendered."""
        return self.box[2] - self.box[0], self.box[3] - self.box[1]

    def latent_mask(self, factor: int) -> npt.NDArray[np.float32] | None:
        """Return which latents are redrawn: float32 (h, w), 1 where any of their pixels is, else 0.

        Args:
            factor: pixels per latent along a side.
        """
        if self.mask is None:
            return None
        part = self.mask.crop(self.box).resize(self.work.size, Image.Resampling.BILINEAR)
        cells = np.asarray(part).reshape(part.height // factor, factor, part.width // factor, factor)
        return np.asarray(cells.max((1, 3)) > 0, np.float32)

    def finish(self, rendered: Image.Image) -> Image.Image:
        """Return the whole picture with the rendered part, of the size of the box, in its place."""
        if self.mask is None:
            return rendered
        whole = self.original.copy()
        whole.paste(rendered, self.box[:2])
        return Image.composite(whole, self.original, self.mask)


def make_canvas(
    init: InitImage, picture: Image.Image, mask: Image.Image | None, size: Size, rendered: Size
) -> Canvas:
    """Make a canvas.

    Args:
        init: how it shall be done.
        picture: to start from, of any size and mode; transparent parts become white.
        mask: white = redraw, of any size; an alpha channel does not count.
        size: (width, height) asked for.
        rendered: (width, height) that the model renders.

    Raises:
        UsageError: the mask is black everywhere, so that nothing would be redrawn.
    """
    original = fit(on_white(picture), *size)
    if mask is None:
        work = original.resize(rendered, Image.Resampling.LANCZOS)
        return Canvas(original, None, (0, 0, *size), work, work)
    hard = fit(mask.convert("L"), *size)
    if hard.getbbox() is None:
        raise UsageError("the mask is black everywhere", "paint white what shall be redrawn")
    soft = hard.filter(ImageFilter.GaussianBlur(init.mask_blur)) if init.mask_blur else hard
    box = _box(soft, init.padding, size) if init.area == "masked" else (0, 0, *size)
    kept = original.crop(box).resize(rendered, Image.Resampling.LANCZOS)
    work = kept
    if init.fill == "blur":
        blurred = kept.filter(ImageFilter.GaussianBlur(_FILL_BLUR * max(rendered)))
        part = soft.crop(box).resize(rendered, Image.Resampling.BILINEAR)
        work = Image.composite(blurred, kept, part)
    return Canvas(original, soft, box, work, kept)


def on_white(picture: Image.Image) -> Image.Image:
    """Return the picture as RGB, laid on white where it is transparent."""
    if picture.mode == "RGB":
        return picture
    rgba = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")


def _box(mask: Image.Image, padding: int, size: Size) -> Box:
    """Return the masked area with its padding, widened to the aspect of `size`, within the picture."""
    left, top, right, bottom = mask.getbbox() or (0, 0, *size)
    left, top = max(left - padding, 0), max(top - padding, 0)
    right, bottom = min(right + padding, size[0]), min(bottom + padding, size[1])
    scale = max((right - left) / size[0], (bottom - top) / size[1])
    width, height = round(size[0] * scale), round(size[1] * scale)
    left = min(max((left + right - width) // 2, 0), size[0] - width)
    top = min(max((top + bottom - height) // 2, 0), size[1] - height)
    return left, top, left + width, top + height
