"""Puts a figure together in painter's order and returns pixels."""

import numpy as np
import numpy.typing as npt
import skia

from charaforge.mini import world
from charaforge.mini.render import accessories, background, face, hair, limbs, outfits, signatures
from charaforge.mini.render.ink import Ink, Layer, oval
from charaforge.mini.render.skeleton import HEAD_SCALE, Skeleton, pose_skeleton
from charaforge.mini.scenes import Scene

_SUPERSAMPLE_BELOW = 512
_NEARNESS = {
    "wings": 0.25,
    "hair behind": 0.35,
    "legs": 0.5,
    "arms behind": 0.45,
    "torso": 0.6,
    "arms in front": 0.7,
    "head": 0.82,
    "raised arms": 0.95,
}
"""How near each part is in the layer of depths, 0 to 1."""


def render(scene: Scene, size: int = world.NATIVE_SIDE, layer: Layer = Layer.COLOR) -> npt.NDArray[np.uint8]:
    """Draw one scene.

    Pictures below 512 px are drawn twice as large and box-averaged, on top of skia's own anti-aliasing.

    Args:
        scene: What to draw.
        size: Side of the square picture in pixels.
        layer: The colour picture or one of its exact layers.

    Returns:
        uint8 array (size, size, 3), RGB, 0-255.
    """
    if size >= _SUPERSAMPLE_BELOW:
        return _rasterise(scene, size, layer)
    large = _rasterise(scene, size * 2, layer).astype(np.uint16)
    averaged = large.reshape(size, 2, size, 2, 3).sum(axis=(1, 3)) + 2
    return np.asarray(averaged // 4, np.uint8)


def signature_mask(scene: Scene, size: int = world.NATIVE_SIDE) -> npt.NDArray[np.bool_]:
    """Where the signature trait is visible: bool (size, size)."""
    return np.asarray(render(scene, size, Layer.SIGNATURE_MASK)[..., 0] >= 128)


def keypoints(scene: Scene, size: int = world.NATIVE_SIDE) -> npt.NDArray[np.float32]:
    """The 18 OpenPose key points: float32 (18, 3) of x, y in pixels of ``size``, and 1 inside the frame."""
    points = pose_skeleton(scene).keypoints()
    points[:, :2] *= size / 128
    return points


def _rasterise(scene: Scene, size: int, layer: Layer) -> npt.NDArray[np.uint8]:
    surface = skia.Surface(size, size)
    canvas = surface.getCanvas()
    canvas.clear(skia.ColorWHITE if layer is Layer.LINE_ART else skia.ColorBLACK)
    canvas.scale(size / 128, size / 128)
    ink = Ink(canvas, layer)
    background.draw_background(ink, scene)
    _draw_figure(ink, scene, pose_skeleton(scene))
    pixels = surface.makeImageSnapshot().toarray(colorType=skia.kRGBA_8888_ColorType)
    return np.ascontiguousarray(pixels[..., :3])


def _draw_figure(ink: Ink, scene: Scene, sk: Skeleton) -> None:
    if scene.framing == "full body":
        ink.tone(oval(sk.origin[0], 121.5, 17 if sk.airborne else 24, 3.6), (50, 40, 90), 60)
    garment = outfits.garment_of(scene)
    with ink.placed(sk.origin, 0, sk.scale):
        with ink.near(_NEARNESS["wings"]), ink.placed((0, 0), sk.lean):
            signatures.draw_wings(ink, scene)
        with ink.near(_NEARNESS["hair behind"]), ink.placed(sk.head, sk.head_turn, HEAD_SCALE):
            hair.draw_hair_behind(ink, scene, sk)
        with ink.near(_NEARNESS["legs"]):
            for side in (-1, 1):
                limbs.draw_leg(ink, garment, sk, side)
        behind = [s for s in (-1, 1) if not sk.arms_in_front and not sk.raised(s)]
        in_front = [s for s in (-1, 1) if s not in behind]
        _draw_arms(ink, garment, sk, behind, "arms behind")
        with ink.near(_NEARNESS["torso"]), ink.placed((0, 0), sk.lean):
            outfits.draw_torso(ink, scene, sk.lean)
            signatures.draw_capelet(ink, scene)
            if scene.accessory == "scarf":
                accessories.draw_scarf(ink)
        _draw_arms(ink, garment, sk, [s for s in in_front if not sk.raised(s)], "arms in front")
        with ink.near(_NEARNESS["head"]):
            _draw_head(ink, scene, sk)
        _draw_arms(ink, garment, sk, [s for s in in_front if sk.raised(s)], "raised arms")


def _draw_arms(ink: Ink, garment: outfits.Garment, sk: Skeleton, sides: list[int], place: str) -> None:
    with ink.near(_NEARNESS[place]):
        for side in sides:
            limbs.draw_arm(ink, garment, sk, side)


def _draw_head(ink: Ink, scene: Scene, sk: Skeleton) -> None:
    with ink.placed(sk.head, sk.head_turn, HEAD_SCALE):
        face.draw_face(ink, scene, sk.yaw)
        hair.draw_hair_front(ink, scene, sk)
        accessories.draw_head_accessory(ink, scene, sk.yaw)
        signatures.draw_head_signature(ink, scene)
