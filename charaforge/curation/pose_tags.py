"""Poses by key points and poses by tags: where both speak of the same thing, do they agree?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from charaforge.curation.pose_rules import POSE_TAGS, UNKNOWN

_BODY = frozenset(
    ("standing", "sitting", "squatting", "kneeling", "lying", "running", "jumping", "standing on one leg")
)
_ARMS = frozenset(("arms up", "arm up", "waving", "pointing", "spread arms", "hands on hips"))
_SAME: Mapping[str, str] = {
    "outstretched arms": "spread arms",
    "outstretched arm": "pointing",
    "raised hand": "arm up",
    "hands up": "arms up",
    "hand on own hip": "hands on hips",
    "on back": "lying",
    "on side": "lying",
    "on stomach": "lying",
    "seiza": "sitting",
    "wariza": "sitting",
    "indian style": "sitting",
    "crossed legs": "sitting",
}
"""Danbooru's other words for poses."""
_COMPATIBLE = (
    {"waving", "arm up"},
    {"standing", "standing on one leg"},
    {"running", "standing on one leg"},
    {"sitting", "kneeling"},
)


def pose_by_tags(tags: Sequence[str]) -> str:
    """Return the pose that the tags tell first, arms before the body's stance, or ""."""
    told = _poses(tags)
    special = [pose for pose in told if pose != "standing"]
    return (special or told or [""])[0]


def disagreement(pose: str, tags: Sequence[str]) -> str:
    """Return the pose that the tags tell instead, or "" where they agree or do not speak of it."""
    told = _poses(tags)
    for kind in (_BODY, _ARMS):
        others = [other for other in told if other in kind]
        if pose in kind and others and not any(_agree(pose, other) for other in others):
            return others[0]
    return ""


def _poses(tags: Sequence[str]) -> list[str]:
    named = [_SAME.get(tag, tag) for tag in tags]
    return list(dict.fromkeys(pose for pose in named if pose in POSE_TAGS and pose != UNKNOWN))


def _agree(one: str, other: str) -> bool:
    return one == other or {one, other} in _COMPATIBLE
