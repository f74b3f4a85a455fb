"""Backgrounds: plain colours, a sunny meadow and a starry night. Drawn in pixels of 128."""

import random

from charaforge.mini import world
from charaforge.mini.render.ink import Ink, curve, oval, polyline
from charaforge.mini.scenes import Scene

_EVERYTHING = polyline((-1, -1), (129, -1), (129, 129), (-1, 129), close=True)


def draw_background(ink: Ink, scene: Scene) -> None:
    """Fill the whole picture; only the colour layer has a background."""
    rng = random.Random(f"background {scene.geometry_seed}")
    ink.tone(_EVERYTHING, world.BACKGROUNDS[scene.background], 255)
    if scene.background == "outdoors":
        _meadow(ink, rng)
    elif scene.background == "night sky":
        _night(ink, rng)


def _meadow(ink: Ink, rng: random.Random) -> None:
    horizon, first = rng.uniform(82, 98), rng.uniform(0, 128)
    for k in range(3):
        x, y = (first + k * 48) % 140 - 6, rng.uniform(12, 40)
        for dx, dy, rx, ry in ((0, 0, 14, 5.5), (5, -4, 8, 6), (-5, -3, 6, 4)):
            ink.tone(oval(x + dx, y + dy, rx, ry), (255, 255, 255), 255)
    hill = curve(
        (0, horizon),
        (40, horizon - 7, 80, horizon + 1),
        (110, horizon + 5, 128, horizon - 2),
        (128, 128),
        (0, 128),
    )
    near = curve((0, horizon + 10), (50, horizon + 5, 128, horizon + 11), (128, 128), (0, 128))
    ink.tone(hill, (146, 210, 122), 255)
    ink.tone(near, (122, 190, 104), 255)


def _night(ink: Ink, rng: random.Random) -> None:
    ink.tone(polyline((0, 74), (128, 74), (128, 128), (0, 128), close=True), (58, 56, 118), 255)
    ink.tone(
        curve((0, 106), (40, 98, 84, 105), (108, 109, 128, 102), (128, 128), (0, 128)), (30, 32, 74), 255
    )
    moon = rng.choice((16, 112)) + rng.uniform(-4, 4)
    ink.tone(oval(moon, 18, 9.5, 9.5), (255, 240, 184), 255)
    ink.tone(oval(moon - 4, 15.5, 8, 8), (38, 44, 92), 255)
    for _ in range(12):
        x, y, r = rng.uniform(2, 126), rng.uniform(3, 92), rng.uniform(0.7, 1.5)
        star = polyline((x, y - 2 * r), (x + r * 0.6, y), (x, y + 2 * r), (x - r * 0.6, y), close=True)
        ink.tone(star, (255, 250, 220), 235)
