"""Hair: what hangs behind the head, what grows over the forehead, tails, buns, braids and spikes.

Everything is in head units (origin at the head's centre, the face about 40 units wide).
"""

import math
from itertools import pairwise

import skia

from charaforge.mini.render.ink import Ink, curve, darker, flipped, lighter, outline_of, oval, polyline
from charaforge.mini.render.skeleton import Skeleton
from charaforge.mini.scenes import Scene

_HALF = {side: polyline((0, -90), (side * 90, -90), (side * 90, 90), (0, 90), close=True) for side in (-1, 1)}


def hair_mass(ink: Ink, scene: Scene, path: skia.Path, *, behind: bool = False, at_side: int = 0) -> None:
    """An outlined lock in the hair's colour; a split-hair signature recolours its half of the head.

    Args:
        ink: The pen, in head units (or in a tail's own units when ``at_side`` is set).
        scene: Whose hair.
        path: The outline of the lock.
        behind: Hair in the shadow behind the head is darker.
        at_side: -1 or +1 when the whole lock belongs to one side of the head, 0 when it may span both.
    """
    tone = (lambda c: darker(c, 0.78)) if behind else (lambda c: c)
    ink.shape(path, tone(scene.hair_rgb), outline_of(scene.hair_rgb))
    signature = scene.signature
    if signature is None or signature.kind != "split hair" or at_side == -signature.side:
        return
    with ink.signature(), ink.clipped(path):
        ink.fill(path if at_side else _HALF[signature.side], tone(signature.rgb))


def draw_hair_behind(ink: Ink, scene: Scene, skeleton: Skeleton) -> None:
    """The hair drawn before body and face."""
    _BACK.get(scene.style, _back_cap)(ink, scene, skeleton.sway)


def _back_cap(ink: Ink, scene: Scene, sway: float) -> None:
    cap = curve(
        (-22, -4),
        (-25, 6, -21, 15),
        (-19, 20, -13, 18),
        (-8, 20, 0, 19),
        (8, 20, 13, 18),
        (19, 20, 21, 15),
        (25, 6, 22, -4),
        (20, -27, -20, -27, -22, -4),
    )
    hair_mass(ink, scene, cap, behind=True)


def _back_bob(ink: Ink, scene: Scene, sway: float) -> None:
    bob = curve(
        (-22, -6),
        (-30, 4, -34, 20, -29, 27),
        (-22, 32, -13, 27),
        (0, 30, 13, 27),
        (22, 32, 29, 27),
        (34, 20, 30, 4, 22, -6),
        (20, -28, -20, -28, -22, -6),
    )
    hair_mass(ink, scene, bob, behind=True)
    for side in (-1, 1):
        ink.shade(flipped(curve((17, 6), (25, 14, 22, 27), (27, 24, 28, 14), (25, 8, 17, 6)), side), 46)


def _back_long(ink: Ink, scene: Scene, sway: float) -> None:
    s = sway * 0.35
    long = curve(
        (-22, -4),
        (-29, 20, -29 + s * 0.5, 46),
        (-27 + s, 55, -22 + s, 51),
        (-17 + s, 57, -11 + s, 52),
        (-5 + s, 57, s, 53),
        (6 + s, 57, 12 + s, 52),
        (17 + s, 57, 22 + s, 51),
        (27 + s, 55, 29 + s * 0.5, 46),
        (29, 20, 22, -4),
        (20, -28, -20, -28, -22, -4),
    )
    hair_mass(ink, scene, long, behind=True)
    for x in (-19, -8, 8, 19):
        ink.tone(curve((x * 0.95, 8), (x * 1.05, 28, x * 1.02 + s, 46), close=False), (40, 20, 70), 90, 1.1)


def _back_spiked(ink: Ink, scene: Scene, sway: float) -> None:
    spikes, count = [], 13
    for i in range(count * 2 + 1):
        angle = math.radians(-214 + 248 * i / (count * 2))
        reach = 37.0 if i % 2 else 25.5
        spikes.append((reach * 0.98 * math.cos(angle), -2 + reach * 0.95 * math.sin(angle)))
    hair_mass(ink, scene, polyline(*spikes, close=True), behind=False)


def _back_twintails(ink: Ink, scene: Scene, sway: float) -> None:
    _back_cap(ink, scene, sway)
    for side in (-1, 1):
        with ink.placed((side * 20, -11), -sway * 1.3 - side * 4):
            tail = curve(
                (0, -4),
                (14, -10, 20, 12, 15, 30),
                (13, 42, 5, 50),
                (8, 41, 4, 38),
                (1, 44, -3, 45),
                (2, 32, 1, 18),
                (0, 8, -2, 3),
            )
            hair_mass(ink, scene, flipped(tail, side), at_side=side)
            inner = curve((3, 6), (9, 20, 5, 40), (1, 44, -3, 45), (2, 32, 1, 18), (0, 8, -2, 3))
            ink.shade(flipped(inner, side))
            ink.shine(flipped(curve((7, -1), (13, 6, 13, 17), close=False), side), 130, 1.8)


def _back_side_ponytail(ink: Ink, scene: Scene, sway: float) -> None:
    _back_cap(ink, scene, sway)
    with ink.placed((15, -18), -sway * 1.5):
        tail = curve(
            (-5, 1),
            (6, -18, 25, -9, 25, 14),
            (26, 34, 12, 50),
            (15, 39, 10, 36),
            (7, 41, 2, 42),
            (11, 25, 8, 11),
            (5, 5, -4, 6),
        )
        hair_mass(ink, scene, tail, at_side=1)
        ink.shade(curve((7, 4), (18, 14, 10, 36), (7, 41, 2, 42), (11, 25, 8, 11)))
        ink.shine(curve((9, -7), (19, -4, 20, 11), close=False), 130, 1.8)


def _back_double_bun(ink: Ink, scene: Scene, sway: float) -> None:
    _back_cap(ink, scene, sway)
    for side in (-1, 1):
        hair_mass(ink, scene, oval(side * 19, -19.5, 10.5, 10.2), at_side=side)
        ink.shade(flipped(curve((12, -14), (19, -8, 28, -15), (24, -7, 15, -9)), side))
        swirl = flipped(curve((15, -22), (20, -29, 25, -22), (24, -16, 18, -18), close=False), side)
        ink.tone(swirl, (40, 20, 70), 130, 1.2)


_BACK = {
    "bob cut": _back_bob,
    "long hair": _back_long,
    "spiked hair": _back_spiked,
    "twintails": _back_twintails,
    "side ponytail": _back_side_ponytail,
    "double bun": _back_double_bun,
}

_FRINGE: dict[str, tuple[tuple[float, float], ...]] = {
    "blunt bangs": (
        (21.5, 13),
        (17.5, 12),
        (17.5, -2),
        (14, -1),
        (10.5, -2.6),
        (7, -1),
        (3.5, -2.8),
        (0, -1),
        (-3.5, -2.8),
        (-7, -1),
        (-10.5, -2.6),
        (-14, -1),
        (-17.5, -2),
        (-17.5, 12),
        (-21.5, 13),
    ),
    "swept bangs": (
        (21.5, 13),
        (18, 11),
        (17.5, -4),
        (14.5, -13),
        (9, -9),
        (6.5, -10),
        (2, -3.5),
        (-1, -5),
        (-6, 1),
        (-9, -0.5),
        (-12.5, 4),
        (-14, 2),
        (-17.5, 10),
        (-21.5, 14),
    ),
    "parted bangs": (
        (21.5, 13),
        (18.5, 15),
        (17.5, 4),
        (13, -5),
        (6, -13),
        (1, -17),
        (-4, -13),
        (-12, -5),
        (-17.5, 4),
        (-18.5, 15),
        (-21.5, 13),
    ),
}


def fringe_path(bangs: str, dy: float = 0.0) -> skia.Path:
    """The cap of hair over the forehead with the lower edge of these bangs, shifted down by dy."""
    low = _FRINGE[bangs]
    path = skia.Path()
    path.moveTo(-21.5, 13 + dy)
    path.cubicTo(-27.5, -33 + dy, 27.5, -33 + dy, low[0][0], low[0][1] + dy)
    for (x0, y0), (x1, y1) in pairwise(low):
        bulge = 0.7 if y1 < y0 else -0.7
        path.quadTo((x0 + x1) / 2 + bulge, (y0 + y1) / 2 + 0.5 + dy, x1, y1 + dy)
    path.close()
    return path


def draw_hair_front(ink: Ink, scene: Scene, skeleton: Skeleton) -> None:
    """Fringe with its cel shading, then ahoge, braids and hair ties over it."""
    if scene.ahoge:
        hair_mass(ink, scene, curve((-1.5, -22), (-3, -36, 9, -35), (5.5, -31, 4.5, -22)), at_side=0)
    fringe = fringe_path(scene.bangs)
    hair_mass(ink, scene, fringe)
    with ink.clipped(fringe):
        ink.shade(curve((-30, 16), (-22, -8, -19, -16), (-16.5, -2, -15.5, 16)), 44)
        ink.shade(curve((30, 16), (25, -10, 16, -20), (17, -2, 15, 16)), 74)
        for x0, x1 in ((-9, -8), (8, 8.5)):
            ink.tone(curve((x0 * 0.5, -21), (x0, -13, x1, -6), close=False), (40, 20, 70), 100, 1.0)
        light = lighter(scene.hair_rgb, 0.75)
        ink.tone(curve((-14, -12), (-8, -16.4, -1.5, -17), close=False), light, 190, 3.0)
        ink.tone(curve((3, -16.8), (6, -16.4, 8.5, -15.4), close=False), light, 190, 2.6)
    if scene.style == "twintails":
        for side in (-1, 1):
            ink.shape(oval(side * 21, -11, 3.2, 4.2), (236, 64, 84))
    elif scene.style == "side ponytail":
        ink.shape(oval(17.5, -17, 4.0, 4.0), (236, 64, 84))
    elif scene.style == "twin braids":
        _braids(ink, scene, skeleton.sway)
    elif scene.style == "spiked hair":
        _front_spikes(ink, scene)


def _braids(ink: Ink, scene: Scene, sway: float) -> None:
    for side in (-1, 1):
        for i in range(4):
            x, y = side * (20.5 + i * 0.6) + sway * 0.12 * i, 15 + i * 7.6
            hair_mass(ink, scene, oval(x, y, 5.6 - i * 0.3, 5.0), at_side=side)
            ink.tone(curve((x - 3, y - 1.5), (x, y + 3, x + 3, y - 1.5), close=False), (40, 20, 70), 120, 1.2)
        x, y = side * 22.6 + sway * 0.5, 44.0
        tuft = polyline((x - 3.2, y + 1), (x + 3.2, y + 1), (x, y + 9), close=True)
        hair_mass(ink, scene, tuft, at_side=side)
        ink.shape(oval(x, y, 3.4, 2.8), (236, 64, 84))


def _front_spikes(ink: Ink, scene: Scene) -> None:
    for side in (-1, 1):
        lock = curve((18, -6), (27, 2, 29, 13), (24, 11, 21.5, 8), (22, 14, 24, 19), (18, 15, 16.5, 4))
        hair_mass(ink, scene, flipped(lock, side), at_side=side)
