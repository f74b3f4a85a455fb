"""Joints of a figure: pose tables, jitter, and the 18 OpenPose key points.

Figure units: pelvis at the origin, y down, one unit is about 1.2 px of a full-body picture at 128 px.
Angles are degrees in the picture plane, 0 = straight down, positive = towards the right of the picture.
The person's right side is the left of the picture (front view).
"""

import math
import random
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from charaforge.mini.render.ink import Point
from charaforge.mini.scenes import Scene

UPPER_ARM, FOREARM, THIGH, SHIN = 13.5, 12.5, 12.0, 12.0
HEAD_SCALE = 1.16
"""Head units to figure units."""


@dataclass(frozen=True, slots=True)
class PoseAngles:
    """Limb angles of a pose (degrees) and its vertical shift (figure units)."""

    right_arm: Point
    left_arm: Point
    right_leg: Point
    left_leg: Point
    lean: float = 0.0
    tilt: float = 0.0
    drop: float = 0.0
    leg_scale: float = 1.0


_POSES: dict[str, PoseAngles] = {
    "standing": PoseAngles((-18, -10), (18, 10), (-5, -2), (5, 2)),
    "waving": PoseAngles((-18, -10), (110, 140), (-5, -2), (5, 2), tilt=4),
    "arms up": PoseAngles((-112, -136), (112, 136), (-6, -3), (6, 3)),
    "hands on hips": PoseAngles((-60, 46), (60, -46), (-10, -5), (10, 5), tilt=-3),
    "spread arms": PoseAngles((-86, -90), (86, 90), (-9, -6), (9, 6)),
    "pointing": PoseAngles((-16, -6), (88, 90), (-5, -2), (9, 5), tilt=3),
    "running": PoseAngles((-52, 30), (52, 136), (-34, -98), (50, 6), lean=9, tilt=3),
    "jumping": PoseAngles((-102, -118), (102, 118), (-44, -112), (36, 30), tilt=4, drop=-5),
    "sitting": PoseAngles((-24, 12), (24, -12), (-64, -8), (64, 8), drop=13, leg_scale=0.72),
    "standing on one leg": PoseAngles((-56, -72), (56, 72), (-2, 0), (58, -62), lean=-4, tilt=-5),
}
_IN_FRONT = ("hands on hips", "sitting")
_GAIN = 6.0


@dataclass(frozen=True, slots=True)
class Skeleton:
    """Joints in figure units plus where the figure stands in the picture (pixels of 128)."""

    origin: Point
    scale: float
    lean: float
    head_turn: float
    yaw: float
    sway: float
    head: Point
    neck: Point
    arms: dict[int, tuple[Point, Point, Point]]
    """Side (-1 picture left, +1 picture right) to shoulder, elbow, wrist."""
    legs: dict[int, tuple[Point, Point, Point]]
    """Side to hip, knee, ankle."""
    arms_in_front: bool
    airborne: bool
    mirrored: bool
    """Whether a one-sided pose is shown on the picture's left side."""

    def raised(self, side: int) -> bool:
        """Whether this hand is above the neck (drawn over the head)."""
        return self.arms[side][2][1] < self.neck[1] - 2

    def head_point(self, x: float, y: float) -> Point:
        """Head units to figure units."""
        return _add(self.head, _turn((x * HEAD_SCALE, y * HEAD_SCALE), self.head_turn))

    def keypoints(self) -> npt.NDArray[np.float32]:
        """The 18 OpenPose key points, float32 (18, 3): x, y in pixels of 128, and 1 inside the frame."""
        (r_sh, r_el, r_wr), (l_sh, l_el, l_wr) = self.arms[-1], self.arms[1]
        (r_hip, r_kn, r_an), (l_hip, l_kn, l_an) = self.legs[-1], self.legs[1]
        face = [
            self.head_point(x + self.yaw * w, y)
            for x, y, w in ((-9, 5, 1), (9, 5, 1), (-19, 5, 0), (19, 5, 0))
        ]
        nose = self.head_point(self.yaw, 10)
        joints = [nose, self.neck, r_sh, r_el, r_wr, l_sh, l_el, l_wr]
        joints += [r_hip, r_kn, r_an, l_hip, l_kn, l_an, *face]
        points = np.array(joints, np.float32) * self.scale + np.array(self.origin, np.float32)
        visible = np.all((points >= 0) & (points < 128), axis=1)
        return np.concatenate([points, visible[:, None].astype(np.float32)], axis=1)


def _turn(p: Point, degrees: float) -> Point:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return (p[0] * c - p[1] * s, p[0] * s + p[1] * c)


def _add(p: Point, q: Point) -> Point:
    return (p[0] + q[0], p[1] + q[1])


def _reach(start: Point, degrees: float, length: float) -> Point:
    a = math.radians(degrees)
    return (start[0] + math.sin(a) * length, start[1] + math.cos(a) * length)


def _chain(start: Point, angles: Point, lengths: Point) -> tuple[Point, Point, Point]:
    middle = _reach(start, angles[0], lengths[0])
    return start, middle, _reach(middle, angles[1], lengths[1])


def _jittered(angles: Point, rng: random.Random) -> Point:
    first, second = (max(-14.0, min(14.0, rng.gauss(0, _GAIN))) for _ in range(2))
    return (angles[0] + first, angles[1] + second)


def _mirrored(angles: Point) -> Point:
    return (-angles[0], -angles[1])


def _placement(scene: Scene, rng: random.Random, drop: float) -> tuple[Point, float]:
    """Where the pelvis is (pixels of 128) and pixels per figure unit."""
    if scene.framing == "upper body":
        scale = rng.uniform(1.60, 1.70)
        return (64 + rng.gauss(0, 2.2), 124.5 + rng.gauss(0, 1.2)), scale
    scale = rng.uniform(1.15, 1.20)
    return (64 + rng.gauss(0, 2.2), 91.5 + drop + rng.gauss(0, 1.0)), scale


def pose_skeleton(scene: Scene) -> Skeleton:
    """The jittered joints of a scene; one scene always gives the same joints."""
    rng = random.Random(f"skeleton {scene.geometry_seed}")
    pose = _POSES[scene.pose]
    limbs = [_jittered(a, rng) for a in (pose.right_arm, pose.left_arm, pose.right_leg, pose.left_leg)]
    lean, tilt = pose.lean + rng.gauss(0, 2), pose.tilt + rng.gauss(0, 3)
    mirrored = rng.random() < 0.5
    if mirrored:
        limbs = [_mirrored(limbs[i]) for i in (1, 0, 3, 2)]
        lean, tilt = -lean, -tilt
    origin, scale = _placement(scene, rng, pose.drop)
    neck = _turn((0, -20), lean)
    head_turn = lean * 0.5 + tilt
    legs = (THIGH * pose.leg_scale, SHIN * pose.leg_scale)
    return Skeleton(
        origin=origin,
        scale=scale,
        lean=lean,
        head_turn=head_turn,
        yaw=rng.gauss(0, 0.9),
        sway=lean * 0.5 + rng.gauss(0, 2),
        head=_add(neck, _turn((0, -17.5 * HEAD_SCALE), head_turn)),
        neck=neck,
        arms={
            -1: _chain(_turn((-8, -17.5), lean), limbs[0], (UPPER_ARM, FOREARM)),
            1: _chain(_turn((8, -17.5), lean), limbs[1], (UPPER_ARM, FOREARM)),
        },
        legs={
            -1: _chain(_turn((-4.8, -1), lean), limbs[2], legs),
            1: _chain(_turn((4.8, -1), lean), limbs[3], legs),
        },
        arms_in_front=scene.pose in _IN_FRONT,
        airborne=scene.pose == "jumping",
        mirrored=mirrored,
    )
