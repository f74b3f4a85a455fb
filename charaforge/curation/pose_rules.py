"""From 18 key points to one word for the pose, by rules that a reader can check.

Angles are degrees in the picture plane, 0 = straight down, positive = towards the right of the picture;
"outward" counts away from the body's middle on either side. Lengths are compared with others of the same
figure, so that chibi and slender ones are treated alike. What the points do not show is not guessed: the word
then is "unknown".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from charaforge.perception.openpose_map import SEEN
from charaforge.warehouse.tables import UNKNOWN_POSE

UNKNOWN = UNKNOWN_POSE
POSE_TAGS = (
    "standing",
    "sitting",
    "squatting",
    "kneeling",
    "lying",
    "running",
    "jumping",
    "standing on one leg",
    "arms up",
    "arm up",
    "waving",
    "pointing",
    "spread arms",
    "hands on hips",
    "from behind",
    UNKNOWN,
)
"""Everything that `pose_tag` can answer: Danbooru's words."""
_NOSE, _NECK = 0, 1
_ARMS = ((2, 3, 4), (5, 6, 7))
_LEGS = ((8, 9, 10), (11, 12, 13))
_EYES, _EARS = (14, 15), (16, 17)
_LIMBS = (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13)

Points = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Pose:
    """What the rules say of one person.

    Attributes:
        tag: one of `POSE_TAGS`.
        view: "front", "side", "behind", or "" where the head and shoulders are not seen.
        score: mean score of the key points that were used, 0 to 1.
    """

    tag: str
    view: str
    score: float


@dataclass(frozen=True)
class _Limb:
    """An arm or a leg, all of whose three points are seen.

    Attributes:
        upper: angle of upper arm or thigh, degrees.
        lower: angle of forearm or shin, degrees.
        side: -1 where it begins left of the body's middle, else +1.
        points: (3, 2): shoulder or hip, elbow or knee, wrist or ankle.
    """

    upper: float
    lower: float
    side: int
    points: Points

    @property
    def outward(self) -> tuple[float, float]:
        """Both angles, positive away from the body's middle."""
        return self.upper * self.side, self.lower * self.side

    @property
    def lengths(self) -> tuple[float, float]:
        first, second = np.linalg.norm(np.diff(self.points, axis=0), axis=1)
        return float(first), float(second)

    @property
    def end_rises(self) -> float:
        """How far wrist or ankle lies above shoulder or hip, in lengths of the limb; negative: below."""
        return float(self.points[0, 1] - self.points[2, 1]) / max(sum(self.lengths), 1e-6)


def main_person(people: Points) -> int:
    """Return the index of the person who counts: the largest, weighted by score; people (P ≥ 1, 18, 3)."""
    sizes = []
    for person in people:
        seen = person[person[:, 2] >= SEEN]
        extent = float(np.ptp(seen[:, 0]) * np.ptp(seen[:, 1])) if len(seen) else 0.0
        sizes.append(extent * float(seen[:, 2].mean()) if len(seen) else 0.0)
    return int(np.argmax(sizes))


def pose_of(person: Points) -> Pose:
    """Return the pose of a person, float32 (18, 3): x, y, score."""
    view = _view(person)
    arms, legs = _limbs(person, _ARMS), _limbs(person, _LEGS)
    tag = _body(person, arms, legs) or _both_arms(arms) or _one_arm(person, arms) or _stance(legs)
    if view == "behind" and tag in ("standing", ""):
        tag = "from behind"
    used = person[[joint for joint in _LIMBS if person[joint, 2] >= SEEN], 2]
    return Pose(tag or UNKNOWN, view, round(float(used.mean()), 4) if len(used) else 0.0)


def _body(person: Points, arms: list[_Limb], legs: list[_Limb]) -> str:
    """Return what trunk and legs say, or "" where they only stand or are not seen."""
    if abs(_trunk_angle(person)) > 60:
        return "lying"
    if len(legs) < 2:
        return ""
    first, second = legs
    if _sits(first) and _sits(second):
        return "squatting" if _squats(person, legs) else "sitting"
    if all(abs(leg.lower) > 65 and abs(leg.upper) < 45 for leg in legs):
        return "kneeling"
    straight = any(abs(leg.upper) < 25 and abs(leg.lower) < 25 for leg in legs)
    if straight and any(abs(leg.upper) > 30 and leg.upper * leg.lower < 0 for leg in legs):
        return "standing on one leg"
    if max(abs(leg.lower) for leg in legs) > 70:
        return "jumping" if len(arms) == 2 and all(arm.end_rises > 0 for arm in arms) else "running"
    return ""


def _sits(leg: _Limb) -> bool:
    """Whether the thigh points aside or to the viewer while the shin hangs."""
    thigh, shin = np.diff(leg.points[:, 1])
    return abs(leg.lower) < 50 and shin > 0 and thigh < 0.8 * shin


def _squats(person: Points, legs: list[_Limb]) -> bool:
    """Whether the hips are as low as the knees, or lower, and the ankles right below."""
    return all(float(leg.points[1, 1] - leg.points[0, 1]) < 0 for leg in legs)


def _both_arms(arms: list[_Limb]) -> str:
    """Return what both arms together say, or ""."""
    if len(arms) < 2:
        return ""
    if all(arm.end_rises > 0.35 for arm in arms):
        return "arms up"
    if all(_is_level(arm) for arm in arms):
        return "spread arms"
    return "hands on hips" if all(_on_hip(arm) for arm in arms) else ""


def _one_arm(person: Points, arms: list[_Limb]) -> str:
    """Return what one arm says while the other hangs, or ""."""
    active = [arm for arm in arms if arm.end_rises > 0.35 or _is_level(arm)]
    if len(active) != 1 or not _other_hangs(person, active[0]):
        return ""
    if _is_level(active[0]):
        return "pointing"
    upper, lower = active[0].outward
    return "waving" if upper < 135 or abs(lower - upper) > 20 else "arm up"


def _other_hangs(person: Points, active: _Limb) -> bool:
    """Whether the other upper arm is seen and points down; its hand may lie outside of the picture."""
    for shoulder, elbow, _ in _ARMS:
        if not np.array_equal(person[shoulder, :2], active.points[0]):
            across, down = person[elbow, :2] - person[shoulder, :2]
            seen = person[[shoulder, elbow], 2].min() >= SEEN
            return bool(seen and abs(np.degrees(np.arctan2(across, down))) < 70)
    return False


def _is_level(arm: _Limb) -> bool:
    upper, lower = arm.outward
    return 62 < upper < 118 and 55 < lower < 125


def _on_hip(arm: _Limb) -> bool:
    upper, lower = arm.outward
    return 25 < upper < 100 and -80 < lower < -15


def _stance(legs: list[_Limb]) -> str:
    standing = len(legs) == 2 and all(abs(leg.upper) < 35 and abs(leg.lower) < 35 for leg in legs)
    return "standing" if standing else ""


def _limbs(person: Points, joints: tuple[tuple[int, int, int], ...]) -> list[_Limb]:
    """Return the limbs whose three points are seen."""
    middle = float(np.mean([person[first, 0] for first, *_ in joints]))
    found = []
    for trio in joints:
        points = person[list(trio)]
        if (points[:, 2] >= SEEN).all():
            steps = np.diff(points[:, :2], axis=0)
            upper, lower = np.degrees(np.arctan2(steps[:, 0], steps[:, 1]))
            side = -1 if points[0, 0] < middle else 1
            found.append(_Limb(float(upper), float(lower), side, points[:, :2]))
    return found


def _trunk_angle(person: Points) -> float:
    """Return the angle from the neck to the middle of the hips; 0 where they are not seen."""
    if person[[_NECK, 8, 11], 2].min() < SEEN:
        return 0.0
    across, down = person[[8, 11], :2].mean(0) - person[_NECK, :2]
    return float(np.degrees(np.arctan2(across, down)))


def _view(person: Points) -> str:
    seen = person[:, 2] >= SEEN
    if not (seen[_NECK] and seen[2] and seen[5]):
        return ""
    swapped = person[2, 0] > person[5, 0]  # a person who faces us has the right shoulder on our left
    face = seen[_NOSE] or seen[list(_EYES)].any()
    if not face and (swapped or seen[list(_EARS)].any()):
        return "behind"
    return "side" if seen[list(_EARS)].sum() == 1 and seen[list(_EYES)].sum() <= 1 else "front"
