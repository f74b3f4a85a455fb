"""Arms and legs as thick, round-jointed strokes over the skeleton (figure units)."""

import math

from charaforge.mini import world
from charaforge.mini.render.face import SKIN_LINE
from charaforge.mini.render.ink import OUTLINE, Ink, Point, darker, outline_of, oval, polyline
from charaforge.mini.render.outfits import WHITE, Garment
from charaforge.mini.render.skeleton import Skeleton
from charaforge.mini.world import RGB


def _between(p: Point, q: Point, t: float) -> Point:
    return (p[0] + (q[0] - p[0]) * t, p[1] + (q[1] - p[1]) * t)


def _limb(ink: Ink, points: list[Point], rgb: RGB, width: float, outline: RGB | None = None) -> None:
    path = polyline(*points)
    ink.line(path, outline or outline_of(rgb), width + OUTLINE * 1.3)
    ink.band(path, rgb, width)


def draw_leg(ink: Ink, garment: Garment, skeleton: Skeleton, side: int) -> None:
    """One leg: skin, then sock and trouser over it, then the shoe."""
    hip, knee, ankle = skeleton.legs[side]
    _limb(ink, [hip, knee, ankle], world.SKIN, 7.0, SKIN_LINE)
    if garment.sock is not None:
        _limb(ink, [_between(knee, ankle, 0.1), ankle], garment.sock, 7.0)
    if garment.legs == "pants":
        _limb(ink, [hip, knee, _between(knee, ankle, 0.84)], garment.bottom, 8.2)
    elif garment.legs == "shorts":
        _limb(ink, [hip, _between(hip, knee, 0.62)], garment.bottom, 8.2)
    dx, dy = ankle[0] - knee[0], ankle[1] - knee[1]
    norm = math.hypot(dx, dy) + 1e-6
    x, y = ankle[0] + dx / norm * 1.6 + side * 1.0, ankle[1] + dy / norm * 1.6
    ink.shape(oval(x, y, 5.2, 4.0), garment.shoe)
    with ink.clipped(oval(x, y, 5.2, 4.0)):
        ink.shade(oval(x, y + 3.4, 6, 2.6), 90)


def draw_arm(ink: Ink, garment: Garment, skeleton: Skeleton, side: int) -> None:
    """One arm: skin and hand, then the sleeve."""
    shoulder, elbow, wrist = skeleton.arms[side]
    _limb(ink, [shoulder, elbow, wrist], world.SKIN, 5.6, SKIN_LINE)
    ink.shape(oval(*wrist, 3.6, 3.6), world.SKIN, SKIN_LINE)
    _SLEEVES[garment.sleeve](ink, garment.sleeve_rgb, shoulder, elbow, wrist)


def _long_sleeve(ink: Ink, rgb: RGB, shoulder: Point, elbow: Point, wrist: Point) -> None:
    cuff = _between(elbow, wrist, 0.76)
    _limb(ink, [shoulder, elbow, cuff], rgb, 7.4)
    ink.tone(polyline(_between(elbow, wrist, 0.5), cuff), (46, 22, 84), 60, 7.0)


def _short_sleeve(ink: Ink, rgb: RGB, shoulder: Point, elbow: Point, wrist: Point) -> None:
    _limb(ink, [shoulder, _between(shoulder, elbow, 0.72)], rgb, 8.0)


def _puff_sleeve(ink: Ink, rgb: RGB, shoulder: Point, elbow: Point, wrist: Point) -> None:
    x, y = _between(shoulder, elbow, 0.38)
    ink.shape(oval(x, y, 5.6, 5.4), rgb)
    ink.band(polyline(_between(shoulder, elbow, 0.8), _between(shoulder, elbow, 0.9)), WHITE, 6.6)


def _wide_sleeve(ink: Ink, rgb: RGB, shoulder: Point, elbow: Point, wrist: Point) -> None:
    dx, dy = wrist[0] - elbow[0], wrist[1] - elbow[1]
    norm = math.hypot(dx, dy) + 1e-6
    nx, ny = -dy / norm, dx / norm
    if ny < 0:
        nx, ny = -nx, -ny
    cuff = _between(elbow, wrist, 0.82)
    hang = [
        (shoulder[0] + nx, shoulder[1] + ny),
        elbow,
        cuff,
        (cuff[0] + nx * 9, cuff[1] + ny * 9),
        (elbow[0] + nx * 6, elbow[1] + ny * 6),
    ]
    ink.shape(polyline(*hang, close=True), rgb)
    _limb(ink, [shoulder, elbow, cuff], rgb, 6.6)
    ink.line(polyline(cuff, (cuff[0] + nx * 9, cuff[1] + ny * 9)), darker(rgb, 0.55), 1.4)


_SLEEVES = {"long": _long_sleeve, "short": _short_sleeve, "puff": _puff_sleeve, "wide": _wide_sleeve}
