"""Clothes: what each outfit is made of, and the torso part of it (torso units, pelvis at the origin)."""

from dataclasses import dataclass

from charaforge.mini import world
from charaforge.mini.render.ink import Ink, curve, darker, lighter, outline_of, oval, polyline
from charaforge.mini.scenes import Scene
from charaforge.mini.world import RGB

WHITE: RGB = (246, 246, 251)
_CREAM: RGB = (255, 226, 170)
_JEANS: RGB = (70, 88, 142)
_SLATE: RGB = (72, 76, 100)
_BROWN: RGB = (116, 84, 72)
_SHOE: RGB = (104, 66, 54)


@dataclass(frozen=True, slots=True)
class Garment:
    """The parts of an outfit that limbs need to know.

    Attributes:
        sleeve: "long", "short", "puff" or "wide".
        legs: "pants", "shorts" or "bare".
        top, bottom, sleeve_rgb: Colours, 0-255.
        sock: Colour of the socks, or None for bare shins.
        shoe: Colour of the shoes.
    """

    sleeve: str
    legs: str
    top: RGB
    bottom: RGB
    sleeve_rgb: RGB
    sock: RGB | None
    shoe: RGB


def garment_of(scene: Scene) -> Garment:
    """Look up the parts of the scene's outfit in the scene's clothes colour."""
    c = world.CLOTHES_COLORS[scene.clothes]
    return {
        "hoodie": Garment("long", "shorts", c, _SLATE, c, None, (238, 238, 244)),
        "shirt": Garment("short", "pants", c, _JEANS, c, None, (206, 84, 72)),
        "dress": Garment("puff", "bare", c, c, c, None, darker(c, 0.66)),
        "serafuku": Garment("short", "bare", WHITE, c, WHITE, (60, 58, 84), _SHOE),
        "sweater": Garment("long", "bare", c, _BROWN, c, (64, 56, 72), _SHOE),
        "kimono": Garment("wide", "bare", c, c, c, WHITE, (190, 64, 56)),
        "overalls": Garment("long", "pants", WHITE, c, WHITE, None, _SHOE),
        "maid": Garment("puff", "bare", c, c, c, WHITE, (62, 54, 66)),
    }[scene.outfit]


def draw_torso(ink: Ink, scene: Scene, lean: float) -> None:
    """Neck, skirt or hips, top, and the details that name the outfit; the canvas is turned by lean."""
    ink.fill(polyline((-3, -23), (3, -23), (3.2, -16), (-3.2, -16), close=True), (244, 196, 176))
    _TORSO[scene.outfit](ink, scene, garment_of(scene), -lean * 0.15)


def _skirt(ink: Ink, scene: Scene, rgb: RGB, half: float, hem: float, sway: float) -> None:
    if scene.pose == "sitting":
        half, hem = half + 3, hem - 2.5
    skirt = curve(
        (-6.8, -9), (-9, -3, -half + sway, hem), (sway, hem + 3.6, half + sway, hem), (9, -3, 6.8, -9)
    )
    ink.shape(skirt, rgb)
    with ink.clipped(skirt):
        ink.shade(
            curve((2, -9), (7, 0, 4 + sway, hem + 3), (9, hem + 4, half + sway + 3, hem), (9, -3, 6.8, -9)),
            50,
        )
        for x in (-8, -2.5, 8):
            ink.tone(polyline((x * 0.6, -4), (x * 1.1 + sway, hem + 2)), (40, 20, 70), 80, 1.0)


def _top(ink: Ink, scene: Scene, rgb: RGB, shoulder: float, waist: float, bottom: float) -> None:
    top = curve(
        (-shoulder + 1.2, -19.5),
        (-shoulder - 0.6, -14, -waist, bottom),
        (0, bottom + 2.4, waist, bottom),
        (shoulder + 0.6, -14, shoulder - 1.2, -19.5),
        (0, -22.5, -shoulder + 1.2, -19.5),
    )
    ink.shape(top, rgb)
    with ink.clipped(top):
        ink.shade(curve((4, -24), (6, -12, 4, 6), (16, 6), (16, -24)), 46)
        ink.shade(oval(0, -21.5, 9, 4.0), 70)


def _hips(ink: Ink, scene: Scene, rgb: RGB) -> None:
    ink.shape(curve((-8, -7), (-9, 2.6), (0, 4.2, 9, 2.6), (8, -7)), rgb)


def _collar_skin(ink: Ink) -> None:
    ink.fill(curve((-4.2, -21.5), (0, -16.0, 4.2, -21.5)), world.SKIN)


def _hoodie(ink: Ink, scene: Scene, g: Garment, sway: float) -> None:
    _hips(ink, scene, g.bottom)
    _top(ink, scene, g.top, 10, 10.4, -1.5)
    hood = curve(
        (-11.5, -18.5),
        (-6, -11.5, 0, -11.5),
        (6, -11.5, 11.5, -18.5),
        (8, -25, 0, -24),
        (-8, -25, -11.5, -18.5),
    )
    ink.shape(hood, darker(g.top, 0.86), width=1.1)
    for x in (-3, 3):
        ink.line(polyline((x, -14), (x, -7.6)), WHITE, 1.5)
    pocket = polyline((-6.6, -1.4), (-4.6, -7), (4.6, -7), (6.6, -1.4), close=True)
    ink.tone(pocket, (40, 20, 70), 70)
    ink.line(polyline((-6.6, -1.4), (-4.6, -7), (4.6, -7), (6.6, -1.4)), outline_of(g.top), 0.9)


def _shirt(ink: Ink, scene: Scene, g: Garment, sway: float) -> None:
    _hips(ink, scene, g.bottom)
    _top(ink, scene, g.top, 8.6, 8.2, -3.5)
    _collar_skin(ink)
    star = (236, 84, 84) if scene.clothes in ("white", "yellow", "pink") else (255, 244, 210)
    ink.fill(oval(0, -10.0, 4.4, 4.2), star)


def _dress(ink: Ink, scene: Scene, g: Garment, sway: float) -> None:
    _skirt(ink, scene, g.bottom, 17, 11, sway)
    _top(ink, scene, g.top, 8, 7, -8)
    _collar_skin(ink)
    ink.band(curve((-7, -8.4), (0, -6.2, 7, -8.4), close=False), WHITE, 3.0)


def _serafuku(ink: Ink, scene: Scene, g: Garment, sway: float) -> None:
    _skirt(ink, scene, g.bottom, 13.5, 6, sway)
    _top(ink, scene, g.top, 8.4, 7.4, -7)
    collar = polyline((-9.4, -20.4), (0, -22), (9.4, -20.4), (8.6, -13), (0, -9.6), (-8.6, -13), close=True)
    ink.shape(collar, g.bottom, width=0.9)
    ink.fill(curve((-3.4, -21.5), (0, -14.5), (3.4, -21.5)), world.SKIN)
    for side in (-1, 1):
        bow = polyline((0, -11.6), (side * 6.2, -15.2), (side * 5.6, -7.4), close=True)
        ink.shape(bow, (236, 60, 66) if scene.clothes != "red" else (255, 214, 90), width=0.7)


def _sweater(ink: Ink, scene: Scene, g: Garment, sway: float) -> None:
    _skirt(ink, scene, g.bottom, 11.5, 5, sway)
    _top(ink, scene, g.top, 9.6, 9.8, -3.5)
    neck = curve((-5.8, -21), (0, -16.5, 5.8, -21), (4.6, -25), (-4.6, -25))
    ink.shape(neck, g.top, width=0.9)
    stripe = WHITE if scene.clothes != "white" else (120, 140, 190)
    ink.band(curve((-8.6, -10.4), (0, -8.2, 8.6, -10.4), close=False), stripe, 3.4)


def _kimono(ink: Ink, scene: Scene, g: Garment, sway: float) -> None:
    hem, half = (10.0, 13.0) if scene.pose == "sitting" else (18.0, 10.5)
    robe = curve((-8, -9), (-9, 2, -half + sway, hem), (sway, hem + 2, half + sway, hem), (9, 2, 8, -9))
    ink.shape(robe, g.bottom)
    ink.tone(polyline((1.5, -4), (4 + sway, hem + 1)), (40, 20, 70), 130, 1.1)
    _top(ink, scene, g.top, 9, 8, -7)
    _collar_skin(ink)
    ink.line(polyline((-5, -21), (0.8, -13.4)), WHITE, 2.2)
    ink.line(polyline((5, -21), (0.8, -13.4), (-3, -9.4)), WHITE, 2.2)
    obi = _CREAM if scene.clothes not in ("yellow", "white", "pink") else (150, 60, 96)
    ink.shape(curve((-8.6, -10.4), (0, -8.8, 8.6, -10.4), (9.2, -3.6), (0, -1.8, -9.2, -3.6)), obi, width=0.9)


def _overalls(ink: Ink, scene: Scene, g: Garment, sway: float) -> None:
    _hips(ink, scene, g.bottom)
    _top(ink, scene, g.top, 8.8, 8.4, -4)
    for side in (-1, 1):
        ink.band(polyline((side * 5, -12), (side * 6.2, -20.5)), g.bottom, 3.2)
    bib = curve((-6.8, -13.4), (6.8, -13.4), (8.6, -3), (9, 2), (0, 4, -9, 2), (-8.6, -3))
    ink.shape(bib, g.bottom)
    ink.shade(curve((3, -13), (8, -4, 4, 3), (10, 3), (7, -13)), 46)
    button = (255, 214, 90) if scene.clothes != "yellow" else (214, 84, 60)
    for side in (-1, 1):
        ink.fill(oval(side * 5, -11.6, 1.6, 1.6), button)
    ink.tone(polyline((-3.6, -8.6), (3.6, -8.6), (3, -3.4), (-3, -3.4), close=True), (40, 20, 70), 60)


def _maid(ink: Ink, scene: Scene, g: Garment, sway: float) -> None:
    _skirt(ink, scene, g.bottom, 16, 8.5, sway)
    _top(ink, scene, g.top, 8.2, 7.2, -8)
    apron = curve((-5.8, -9), (-9.4, 0, -9.2 + sway, 6.4), (sway, 11, 9.2 + sway, 6.4), (9.4, 0, 5.8, -9))
    ink.shape(apron, WHITE, width=0.9)
    ink.fill(polyline((-4.6, -18), (-5.4, -8), (5.4, -8), (4.6, -18), close=True), WHITE)
    ink.fill(curve((-7, -20.8), (0, -14, 7, -20.8), (0, -24, -7, -20.8)), WHITE)
    ink.fill(oval(0, -16.8, 2.4, 2.0), (214, 48, 64))
    ink.line(curve((-6.6, -8.4), (0, -6.4, 6.6, -8.4), close=False), lighter(outline_of(g.top), 0.2), 1.0)


_TORSO = {
    "hoodie": _hoodie,
    "shirt": _shirt,
    "dress": _dress,
    "serafuku": _serafuku,
    "sweater": _sweater,
    "kimono": _kimono,
    "overalls": _overalls,
    "maid": _maid,
}
