"""Things worn on the head (head units) and the scarf (torso units). Large on purpose, for 128 px."""

from charaforge.mini.render.hair import hair_mass
from charaforge.mini.render.ink import Ink, curve, darker, flipped, oval, polyline
from charaforge.mini.scenes import Scene
from charaforge.mini.world import RGB

_RED: RGB = (226, 48, 66)
_BERET: RGB = (126, 40, 62)
_GOLD: RGB = (255, 206, 58)
_DARK: RGB = (52, 50, 66)


def draw_head_accessory(ink: Ink, scene: Scene, yaw: float) -> None:
    """Draw what the scene's figure wears on its head, if anything."""
    if scene.accessory == "cat ears":
        _cat_ears(ink, scene)
    elif scene.accessory == "glasses":
        _glasses(ink, yaw)
    elif scene.accessory in _PLAIN:
        _PLAIN[scene.accessory](ink)


def _cat_ears(ink: Ink, scene: Scene) -> None:
    for side in (-1, 1):
        ear = curve((5, -20), (9, -33, 19, -37), (25, -26, 22.5, -10))
        hair_mass(ink, scene, flipped(ear, side), at_side=side)
        ink.fill(
            flipped(curve((10.5, -22), (12.5, -30, 18, -32.5), (21.5, -24, 19.4, -16)), side), (252, 176, 186)
        )


def _glasses(ink: Ink, yaw: float) -> None:
    for side in (-1, 1):
        lens = oval(side * 9.4 + yaw, 5.2, 7.8, 7.6)
        ink.tone(lens, (190, 224, 255), 60)
        ink.line(lens, _DARK, 1.9)
    ink.line(curve((yaw - 2.2, 4.2), (yaw, 3.0, yaw + 2.2, 4.2), close=False), _DARK, 1.9)


def _hair_bow(ink: Ink) -> None:
    for side in (-1, 1):
        with ink.placed((0, -23.5)):
            ink.shape(flipped(curve((0, 0), (10, -11, 17, -8), (20, 0, 16, 7), (9, 9, 0, 0)), side), _RED)
            ink.shade(flipped(curve((2, 0.5), (10, 0, 15.5, 6), (9, 8, 2, 0.5)), side))
    ink.shape(oval(0, -23.5, 3.6, 3.8), darker(_RED, 0.86))


def _beret(ink: Ink) -> None:
    cap = curve((-20, -11), (-32, -28, -8, -33), (16, -37, 25, -24), (27, -17, 20, -12), (2, -23, -20, -11))
    ink.shape(cap, _BERET)
    with ink.clipped(cap):
        ink.shade(curve((12, -36), (18, -24, 14, -12), (30, -10), (30, -36)))
        ink.shine(curve((-19, -24), (-12, -29, -3, -30), close=False), 110, 2.2)
    ink.line(polyline((-1, -34), (0, -37)), darker(_BERET, 0.6), 2.4)


def _headphones(ink: Ink) -> None:
    band = curve((-23, -1), (-24, -31, 24, -31, 23, -1), close=False)
    ink.line(band, (30, 28, 42), 5.6)
    ink.band(band, (236, 236, 244), 3.4)
    for side in (-1, 1):
        ink.shape(oval(side * 23.5, 4, 5.6, 8.6), (40, 196, 220))
        ink.fill(oval(side * 24.6, 4, 2.6, 4.8), (236, 236, 244))


def _crown(ink: Ink) -> None:
    crown = polyline((-13, -18), (-16, -33), (-8, -26), (0, -36), (8, -26), (16, -33), (13, -18), close=True)
    ink.shape(crown, _GOLD, (132, 84, 20))
    with ink.clipped(crown):
        ink.shade(polyline((4, -16), (8, -27), (18, -34), (18, -16), close=True), 60)
    for x in (-8, 0, 8):
        ink.fill(oval(x, -21.6, 2.0, 2.2), _RED)


_PLAIN = {"hair bow": _hair_bow, "beret": _beret, "headphones": _headphones, "crown": _crown}


def draw_scarf(ink: Ink) -> None:
    """A thick red scarf round the neck with one hanging end; torso units."""
    end = curve((3, -17), (10.5, -16), (11, -2), (4.5, -1.4))
    ink.shape(end, _RED)
    ink.line(polyline((4.6, -4.2), (10.8, -4.8)), (255, 255, 255), 1.4)
    wrap = curve(
        (-11, -21), (-12, -14.5, -8, -13.5), (0, -11.5, 8, -13.5), (12, -14.5, 11, -21), (0, -26, -11, -21)
    )
    ink.shape(wrap, _RED)
    ink.shade(curve((-11, -18), (0, -12.5, 11, -18), (12, -14.5, 8, -13.5), (0, -11.5, -8, -13.5)), 60)
