"""A thin pen over skia: the same drawing calls give the colour picture and every exact layer of it.

Each call says what it draws: a solid ``fill``, an outline ``line`` or a ``tone`` (translucent shade or
light). A ``Layer`` decides what becomes of it, so masks and line art match the picture to the pixel.
"""

import enum
from collections.abc import Iterator
from contextlib import contextmanager

import skia

from charaforge.mini.world import RGB

Point = tuple[float, float]
OUTLINE = 1.35
"""Outline width in figure units (about 1.6 px of a full-body picture at 128 px)."""


class Layer(enum.Enum):
    """What a rendering shows."""

    COLOR = "color"
    FIGURE_MASK = "figure_mask"
    """White where the figure is, black elsewhere."""
    SIGNATURE_MASK = "signature_mask"
    """White where the signature trait is visible, black elsewhere."""
    LINE_ART = "line_art"
    """Black outlines on white."""
    DEPTH = "depth"
    """Nearness, white = near, black = background; flat per part of the figure, in painter's order."""


def outline_of(rgb: RGB) -> RGB:
    """The dark, slightly violet line that goes round an area of this colour."""
    return (rgb[0] * 0.36 + 14, rgb[1] * 0.30 + 8, rgb[2] * 0.36 + 18)


def darker(rgb: RGB, factor: float = 0.74) -> RGB:
    """The cel shadow of a colour: darker and a little cooler."""
    return (rgb[0] * factor * 0.97, rgb[1] * factor * 0.95, min(255.0, rgb[2] * factor * 1.05 + 4))


def lighter(rgb: RGB, amount: float = 0.5) -> RGB:
    """Mix a colour with white; amount 0-1."""
    r, g, b = (v + (255 - v) * amount for v in rgb)
    return (r, g, b)


def curve(start: Point, *segments: tuple[float, ...], close: bool = True) -> skia.Path:
    """Build a path from a start point and segments of 2 (line), 4 (quadratic) or 6 (cubic) numbers."""
    path = skia.Path()
    path.moveTo(*start)
    for segment in segments:
        {2: path.lineTo, 4: path.quadTo, 6: path.cubicTo}[len(segment)](*segment)
    if close:
        path.close()
    return path


def polyline(*points: Point, close: bool = False) -> skia.Path:
    """Straight segments through the points."""
    return curve(points[0], *points[1:], close=close)


def oval(x: float, y: float, rx: float, ry: float) -> skia.Path:
    """An axis-aligned ellipse by centre and radii."""
    path = skia.Path()
    path.addOval(skia.Rect(x - rx, y - ry, x + rx, y + ry))
    return path


def flipped(path: skia.Path, side: int) -> skia.Path:
    """The path itself for side +1, its mirror image about x = 0 for side -1."""
    if side > 0:
        return path
    matrix = skia.Matrix()
    matrix.setScale(-1, 1)
    mirrored = skia.Path(path)
    mirrored.transform(matrix)
    return mirrored


def _skia_color(rgb: RGB, alpha: int) -> int:
    r, g, b = (int(max(0, min(255, v))) for v in rgb)
    return int(skia.Color(r, g, b, alpha))


_WHITE: RGB = (255, 255, 255)
_BLACK: RGB = (0, 0, 0)


class Ink:
    """Draws fills, lines and tones on a canvas, in the way its layer asks for."""

    def __init__(self, canvas: skia.Canvas, layer: Layer) -> None:
        """Take the canvas (already scaled to figure or picture units) and what to show of the drawing."""
        self.canvas = canvas
        self.layer = layer
        self._in_signature = False
        self._nearness = 0.5
        self._paint = skia.Paint(AntiAlias=True)
        self._paint.setStrokeCap(skia.Paint.kRound_Cap)
        self._paint.setStrokeJoin(skia.Paint.kRound_Join)

    @contextmanager
    def signature(self, active: bool = True) -> Iterator[None]:
        """Mark what is drawn inside as the signature trait."""
        before, self._in_signature = self._in_signature, active
        yield
        self._in_signature = before

    @contextmanager
    def near(self, nearness: float) -> Iterator[None]:
        """Say how near to the viewer what is drawn inside is: 0 (background) to 1."""
        before, self._nearness = self._nearness, nearness
        yield
        self._nearness = before

    @contextmanager
    def placed(self, at: Point, degrees: float = 0.0, scale: float = 1.0) -> Iterator[None]:
        """Move, turn and scale the coordinate system for what is drawn inside."""
        self.canvas.save()
        self.canvas.translate(*at)
        self.canvas.rotate(degrees)
        self.canvas.scale(scale, scale)
        yield
        self.canvas.restore()

    @contextmanager
    def clipped(self, path: skia.Path) -> Iterator[None]:
        """Keep what is drawn inside within the path."""
        self.canvas.save()
        self.canvas.clipPath(path, skia.ClipOp.kIntersect, True)
        yield
        self.canvas.restore()

    def fill(self, path: skia.Path, rgb: RGB) -> None:
        """Fill a solid area."""
        self._draw(path, self._solid(rgb, is_line=False), 0.0, 255)

    def line(self, path: skia.Path, rgb: RGB, width: float) -> None:
        """Stroke a solid line; width in the current units."""
        self._draw(path, self._solid(rgb, is_line=True), width, 255)

    def band(self, path: skia.Path, rgb: RGB, width: float) -> None:
        """Stroke a path so wide that it counts as an area (limbs, straps)."""
        self._draw(path, self._solid(rgb, is_line=False), width, 255)

    def tone(self, path: skia.Path, rgb: RGB, alpha: int, width: float = 0.0) -> None:
        """Lay a translucent shade or light over what is there (alpha 0-255); colour pictures only."""
        if self.layer is Layer.COLOR:
            self._draw(path, rgb, width, alpha)

    def shape(self, path: skia.Path, rgb: RGB, outline: RGB | None = None, width: float = OUTLINE) -> None:
        """An outlined area: the outline is drawn first, half of it hidden under the fill."""
        self.line(path, outline or outline_of(rgb), width * 2 * 0.62)
        self.fill(path, rgb)

    def shade(self, path: skia.Path, alpha: int = 70) -> None:
        """A cel shadow of any colour below it."""
        self.tone(path, (46, 22, 84), alpha)

    def shine(self, path: skia.Path, alpha: int = 120, width: float = 0.0) -> None:
        """A highlight on any colour below it."""
        self.tone(path, _WHITE, alpha, width)

    def _solid(self, rgb: RGB, *, is_line: bool) -> RGB:
        if self.layer is Layer.COLOR:
            return rgb
        if self.layer is Layer.LINE_ART:
            return _BLACK if is_line else _WHITE
        if self.layer is Layer.SIGNATURE_MASK:
            return _WHITE if self._in_signature else _BLACK
        if self.layer is Layer.DEPTH:
            return (255 * self._nearness,) * 3
        return _WHITE

    def _draw(self, path: skia.Path, rgb: RGB, width: float, alpha: int) -> None:
        style = skia.Paint.kStroke_Style if width > 0 else skia.Paint.kFill_Style
        self._paint.setStyle(style)
        self._paint.setStrokeWidth(width)
        self._paint.setColor(_skia_color(rgb, alpha))
        self.canvas.drawPath(path, self._paint)
