"""Signature traits that are things: horns and mask (head units), wings and capelet (torso units).

Split hair is drawn with the hair.
"""

from charaforge.mini.render.ink import Ink, curve, flipped, outline_of, oval
from charaforge.mini.scenes import Scene


def draw_head_signature(ink: Ink, scene: Scene) -> None:
    """Horns or a mask worn on the side of the head."""
    if scene.signature is None:
        return
    with ink.signature():
        if scene.signature.kind == "horns":
            _horns(ink, scene)
        elif scene.signature.kind == "mask":
            _mask(ink, scene)


def _horns(ink: Ink, scene: Scene) -> None:
    assert scene.signature is not None
    rgb = scene.signature.rgb
    for side in (-1, 1):
        horn = curve(
            (7, -16.5), (8, -27, 17, -37), (20, -34.5, 20.5, -31), (25.5, -24, 22, -8.5), (15, -12, 7, -16.5)
        )
        ink.shape(flipped(horn, side), rgb)
        ink.shade(flipped(curve((17, -12), (22, -20, 19, -33), (26, -24, 22, -8.5)), side), 60)
        for y, x0, x1 in ((-19, 10.5, 22), (-25, 12.5, 21)):
            ink.tone(
                flipped(curve((x0, y), (16, y + 3, x1, y - 1), close=False), side), (30, 16, 50), 110, 1.1
            )


def _mask(ink: Ink, scene: Scene) -> None:
    assert scene.signature is not None
    side, rgb = scene.signature.side, scene.signature.rgb
    with ink.placed((side * 14.5, -14.5), side * 20):
        for ear in (-1, 1):
            ink.shape(flipped(curve((2.5, -8), (5, -17, 12, -18), (13.5, -10, 10, -2)), ear), rgb)
        ink.shape(curve((-11.5, -6), (0, -13, 11.5, -6), (12.5, 6, 0, 13), (-12.5, 6, -11.5, -6)), rgb)
        for eye in (-1, 1):
            ink.line(
                flipped(curve((2.6, 0.6), (5.2, -3.4, 8.4, -2.2), close=False), eye), outline_of(rgb), 1.8
            )
        ink.tone(oval(0, 6.6, 1.8, 1.3), outline_of(rgb), 255)
        ink.shade(curve((4, -10), (9, 0, 0, 13), (12.5, 6, 11.5, -6)), 50)


def draw_wings(ink: Ink, scene: Scene) -> None:
    """Bat wings behind the body, spread wider than any hair."""
    if scene.signature is None or scene.signature.kind != "wings":
        return
    rgb = scene.signature.rgb
    with ink.signature():
        for side in (-1, 1):
            wing = curve(
                (3, -13),
                (12, -28, 28, -33),
                (40, -36, 49, -27),
                (44, -17, 46, -2),
                (38, -7, 32, -3),
                (31, 6, 23, 10),
                (20, 2, 13, 0),
                (8, -3, 3, -7),
            )
            ink.shape(flipped(wing, side), rgb)
            for x, y in ((46, -2), (32, -3), (23, 10)):
                rib = flipped(
                    curve((12, -19), ((12 + x) / 2 + 4, (y - 19) / 2 - 4, x - 1, y - 1), close=False), side
                )
                ink.tone(rib, (30, 16, 50), 120, 1.2)


def draw_capelet(ink: Ink, scene: Scene) -> None:
    """A short cape over the shoulders, in a colour no clothes have."""
    if scene.signature is None or scene.signature.kind != "capelet":
        return
    cape = curve(
        (-8, -21),
        (-16, -17, -19, -0.5),
        (-10, 3.4, 0, 1.6),
        (10, 3.4, 19, -0.5),
        (16, -17, 8, -21),
        (0, -24, -8, -21),
    )
    with ink.signature():
        ink.shape(cape, scene.signature.rgb)
    with ink.clipped(cape):
        ink.shade(curve((4, -24), (9, -12, 7, 2), (20, 2), (20, -24)), 46)
        ink.shade(oval(0, -21, 11, 4.4), 70)
    ink.line(curve((-17.4, -4), (-9, -0.4, 0, -2), (9, -0.4, 17.4, -4), close=False), (250, 250, 252), 1.6)
