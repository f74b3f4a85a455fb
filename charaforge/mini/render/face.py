"""Face: skin, eyes, brows, mouth, blush. Head units; ``yaw`` shifts the features sideways."""

from charaforge.mini import world
from charaforge.mini.render.hair import fringe_path
from charaforge.mini.render.ink import Ink, curve, flipped, lighter, oval
from charaforge.mini.scenes import Scene
from charaforge.mini.world import RGB

SKIN_LINE: RGB = (146, 82, 76)
_LASH: RGB = (62, 40, 54)
_LIP: RGB = (158, 54, 62)
_EYE_X, _EYE_Y = 9.4, 4.6


def draw_face(ink: Ink, scene: Scene, yaw: float) -> None:
    """Ears, head, the fringe's shadow, then the features of the scene's expression."""
    for side in (-1, 1):
        ink.shape(oval(side * 19.6, 5, 2.7, 3.8), world.SKIN, SKIN_LINE)
    head = curve(
        (-19.5, -2),
        (-20.8, 10, -12, 18.2, 0, 19),
        (12, 18.2, 20.8, 10, 19.5, -2),
        (19, -24, -19, -24, -19.5, -2),
    )
    ink.shape(head, world.SKIN, SKIN_LINE)
    with ink.clipped(head):
        ink.tone(fringe_path(scene.bangs, 2.4), (226, 130, 120), 120)
    if scene.blush:
        for side in (-1, 1):
            ink.tone(oval(side * 13.6 + yaw, 12.2, 4.4, 2.5), (250, 110, 120), 170)
    for side in (-1, 1):
        with ink.placed((side * _EYE_X + yaw, _EYE_Y)):
            if scene.expression == "closed eyes":
                _closed_eye(ink)
            else:
                _open_eye(ink, world.EYE_COLORS[scene.eyes], side)
    with ink.placed((yaw, 0)):
        _brows(ink, scene)
        _mouth(ink, scene.expression)


def _open_eye(ink: Ink, iris: RGB, side: int) -> None:
    ink.fill(oval(0, 0, 5.4, 6.8), (255, 255, 255))
    deep = (iris[0] * 0.58, iris[1] * 0.56, iris[2] * 0.60)
    ink.fill(oval(-side * 0.2, 0.3, 4.8, 6.5), deep)
    ink.fill(oval(-side * 0.2, 1.6, 4.3, 5.0), iris)
    ink.fill(oval(-side * 0.2, 3.9, 3.0, 2.3), lighter(iris, 0.45))
    ink.fill(oval(-side * 0.2, -0.4, 1.9, 2.7), (iris[0] * 0.24, iris[1] * 0.22, iris[2] * 0.28))
    ink.fill(oval(-1.7, -2.9, 1.8, 2.0), (255, 255, 255))
    ink.fill(oval(1.9, 3.0, 0.9, 0.9), (255, 255, 255))
    lash = curve((-4.6, -4.0), (-0.5, -9.2, 4.8, -5.0), (6.4, -2.2), close=False)
    ink.line(flipped(lash, side), _LASH, 2.3)


def _closed_eye(ink: Ink) -> None:
    ink.line(curve((-5.2, 1.8), (0, -4.8, 5.2, 1.8), close=False), _LASH, 2.3)


def _brows(ink: Ink, scene: Scene) -> None:
    rgb = lighter((62, 40, 54), 0.12)
    for side in (-1, 1):
        if scene.expression == "angry":
            brow = curve((3.2, -1.6), (8.5, -4.0, 13.5, -7.2), close=False)
            ink.line(flipped(brow, side), rgb, 2.6)
        else:
            brow = curve((5.6, -6.0), (9.4, -8.2, 13, -6.2), close=False)
            ink.line(flipped(brow, side), rgb, 1.0)


def _mouth(ink: Ink, expression: str) -> None:
    if expression == "open mouth":
        mouth = curve((-4.6, 11.0), (0, 10.2, 4.6, 11.0), (3.8, 18.0, 0, 17.8), (-3.8, 18.0, -4.6, 11.0))
        ink.shape(mouth, (206, 62, 72), _LIP, 0.7)
        with ink.clipped(mouth):
            ink.fill(oval(0, 17.2, 3.0, 2.4), (250, 142, 142))
    elif expression == "angry":
        ink.line(curve((-4.0, 15.4), (0, 11.0, 4.0, 15.4), close=False), _LIP, 1.7)
    elif expression == "closed eyes":
        ink.line(curve((-2.0, 13.6), (0, 14.8, 2.0, 13.6), close=False), _LIP, 1.3)
    else:
        ink.line(curve((-4.2, 12.0), (0, 16.6, 4.2, 12.0), close=False), _LIP, 1.6)
