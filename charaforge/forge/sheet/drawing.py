"""Puts the pictures of a character sheet on one page, with titles and labels."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from PIL import Image, ImageChops, ImageDraw, ImageFont

Font = ImageFont.ImageFont | ImageFont.FreeTypeFont

CELL = 264
"""Side of a picture on the page, px."""

_MARGIN, _GAP, _ROW_GAP, _RADIUS = 56, 18, 34, 14
_TITLE_PX, _NOTE_PX, _ROW_PX, _LABEL_PX = 46, 20, 24, 17
_PAPER, _INK, _SOFT, _LINE = (250, 249, 247), (32, 30, 38), (112, 108, 120), (222, 218, 212)
_ACCENT = (92, 70, 180)
_SYSTEM_FONTS = (
    "NotoSansCJK-Regular.ttc",
    "NotoSans-Regular.ttf",
    "DejaVuSans.ttf",
    "YuGothM.ttc",
    "msgothic.ttc",
    "Arial Unicode.ttf",
)
"""Looked for where Pillow's own font lacks a sign, in the folders where the system keeps fonts."""
_NO_SIGN = "\uffff"
_SMOOTH = 4
"""Corners are drawn that many times larger first."""


@dataclass(frozen=True, slots=True)
class Strip:
    """One row of the page: its title, what stands at its right, and (label, picture) pairs."""

    title: str
    note: str
    cells: Sequence[tuple[str, Image.Image]]


def draw_page(title: str, notes: Sequence[str], strips: Sequence[Strip]) -> Image.Image:
    """Draw the page.

    Args:
        title: Name of the character.
        notes: Lines below it.
        strips: Rows from the top.

    Returns:
        RGB picture, as wide as the longest row calls for.
    """
    columns = max(len(strip.cells) for strip in strips)
    width = 2 * _MARGIN + columns * CELL + (columns - 1) * _GAP
    head = _MARGIN + _TITLE_PX + 14 + len(notes) * (_NOTE_PX + 8) + 22
    row = _ROW_PX + 16 + CELL + 10 + _LABEL_PX + _ROW_GAP
    page = Image.new("RGB", (width, head + len(strips) * row + _MARGIN - _ROW_GAP), _PAPER)
    pen = ImageDraw.Draw(page)
    pen.rectangle((0, 0, width, 8), fill=_ACCENT)
    pen.text((_MARGIN, _MARGIN), title, _INK, font_for(title, _TITLE_PX) or _font(_TITLE_PX), anchor="lt")
    for index, line in enumerate(notes):
        top = _MARGIN + _TITLE_PX + 14 + index * (_NOTE_PX + 8)
        pen.text((_MARGIN, top), line, _SOFT, _font(_NOTE_PX), anchor="lt")
    for index, strip in enumerate(strips):
        _draw_strip(page, pen, strip, head + index * row, width)
    return page


def _draw_strip(page: Image.Image, pen: ImageDraw.ImageDraw, strip: Strip, top: int, width: int) -> None:
    font = _font(_ROW_PX)
    middle = top + _ROW_PX // 2
    pen.text((_MARGIN, middle), strip.title, _INK, font, anchor="lm")
    pen.text((width - _MARGIN, middle), strip.note, _SOFT, _font(_LABEL_PX), anchor="rm")
    left = _MARGIN + int(pen.textlength(strip.title, font)) + 18
    right = width - _MARGIN - int(pen.textlength(strip.note, _font(_LABEL_PX))) - 18
    pen.line((left, middle, right, middle), _LINE, 2)
    for index, (label, picture) in enumerate(strip.cells):
        at = (_MARGIN + index * (CELL + _GAP), top + _ROW_PX + 16)
        _paste(page, picture, at)
        below = (at[0] + CELL // 2, at[1] + CELL + 8 + _LABEL_PX)
        pen.text(below, _fitted(pen, label), _SOFT, _font(_LABEL_PX), anchor="ms")


def _paste(page: Image.Image, picture: Image.Image, at: tuple[int, int]) -> None:
    """Put a picture down, its longer side as long as a cell, with round corners."""
    scale = CELL / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    small = picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    whole = Image.new("RGB", (CELL, CELL), (255, 255, 255))
    whole.paste(small, ((CELL - size[0]) // 2, (CELL - size[1]) // 2))
    shape = _rounded(0)
    edge = ImageChops.subtract(shape, _rounded(2))
    page.paste(whole, at, shape)
    page.paste(_LINE, (*at, at[0] + CELL, at[1] + CELL), edge)


def _rounded(inset: int) -> Image.Image:
    """A cell's shape, `inset` px smaller at every side; 8-bit."""
    side = CELL * _SMOOTH
    mask = Image.new("L", (side, side))
    box = (inset * _SMOOTH, inset * _SMOOTH, side - 1 - inset * _SMOOTH, side - 1 - inset * _SMOOTH)
    ImageDraw.Draw(mask).rounded_rectangle(box, (_RADIUS - inset) * _SMOOTH, fill=255)
    return mask.resize((CELL, CELL), Image.Resampling.LANCZOS)


def _fitted(pen: ImageDraw.ImageDraw, text: str) -> str:
    """The text, cut with an ellipsis where it is wider than a cell."""
    font = _font(_LABEL_PX)
    if pen.textlength(text, font) <= CELL:
        return text
    while text and pen.textlength(f"{text}…", font) > CELL:
        text = text[:-1]
    return f"{text.rstrip()}…"


def font_for(text: str, size: int = _TITLE_PX) -> Font | None:
    """A font that has all signs of a text: Pillow's own, else one of the system's; None where none has."""
    return next((font for font in _fonts(size) if _has_all(font, text)), None)


def _fonts(size: int) -> Iterator[Font]:
    yield _font(size)
    for name in _SYSTEM_FONTS:
        with suppress(OSError):
            yield ImageFont.truetype(name, size)


def _has_all(font: Font, text: str) -> bool:
    missing = bytes(font.getmask(_NO_SIGN))
    return all(bytes(font.getmask(sign)) != missing for sign in text if not sign.isspace())


def _font(size: int) -> Font:
    return ImageFont.load_default(size)
