"""What a picture of the mini world shows, read off a tagger's probabilities, attribute by attribute.

A group (hair colour, pose, ...) has exactly one value per picture, so the most probable tag of the group
decides; this is how obedience to a prompt is measured.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from charaforge.mini import world
from charaforge.mini.scenes import Scene, background_tag

GROUPS: Mapping[str, tuple[str, ...]] = {
    "hair": tuple(world.HAIR_COLORS),
    "style": world.HAIR_STYLES,
    "bangs": world.BANGS,
    "eyes": tuple(world.EYE_COLORS),
    "outfit": world.OUTFITS,
    "clothes": tuple(world.CLOTHES_COLORS),
    "accessory": world.ACCESSORIES,
    "pose": world.POSES,
    "expression": world.EXPRESSIONS,
    "background": tuple(world.BACKGROUNDS),
    "framing": world.FRAMINGS,
}
"""Attribute groups by the name of their field in ``Scene``, with all values in the order of ``world``."""


def truth(scene: Scene) -> dict[str, str]:
    """The value of every group that a picture of this scene can be judged by (eyes only when open)."""
    values = {group: str(getattr(scene, group)) for group in GROUPS}
    if scene.expression == "closed eyes":
        del values["eyes"]
    return values


def decide(probabilities: npt.NDArray[np.floating], names: Sequence[str]) -> list[dict[str, str]]:
    """The most probable value of each group, per picture.

    Args:
        probabilities: (N, T), 0 to 1.
        names: The T tags, with spaces or underscores.

    Returns:
        One {group: value} per picture, all groups present (eyes also where they are closed).

    Raises:
        ValueError: a tag of the mini world is missing in ``names``.
    """
    tables = {group: _group_scores(group, probabilities, names).argmax(1) for group in GROUPS}
    return [{g: GROUPS[g][int(tables[g][i])] for g in GROUPS} for i in range(len(probabilities))]


def agreement(scenes: Sequence[Scene], decided: Sequence[Mapping[str, str]]) -> dict[str, float]:
    """Share of pictures whose decided value is the scene's, per group; closed eyes are left out of ``eyes``.

    A group that no picture can be judged by is absent.
    """
    hits: dict[str, list[bool]] = {}
    for scene, found in zip(scenes, decided, strict=True):
        for group, value in truth(scene).items():
            hits.setdefault(group, []).append(found[group] == value)
    return {group: float(np.mean(hits[group])) for group in GROUPS if group in hits}


def _group_scores(
    group: str, probabilities: npt.NDArray[np.floating], names: Sequence[str]
) -> npt.NDArray[np.floating]:
    column = {name.replace("_", " "): i for i, name in enumerate(names)}

    def total(tags: Sequence[str]) -> npt.NDArray[np.floating]:
        missing = [t for t in tags if t not in column]
        if missing:
            raise ValueError(f"the tagger does not know {missing[0]!r}: it is not a tagger of the mini world")
        return np.asarray(probabilities[:, [column[t] for t in tags]].sum(1))

    scores = [total(_tags_of(group, value)) if _tags_of(group, value) else None for value in GROUPS[group]]
    told = np.stack([s for s in scores if s is not None], 1)
    untold = 1 - told.sum(1)
    return np.stack([untold if s is None else s for s in scores], 1)


def _tags_of(group: str, value: str) -> list[str]:
    """The tags whose probabilities add up to this value's; empty for the value that no tag names."""
    if group == "hair":
        return [f"{value} hair"]
    if group == "eyes":
        return [f"{value} eyes"]
    if group == "outfit":
        return [f"{c} {value}" for c in world.CLOTHES_COLORS]
    if group == "clothes":
        return [f"{value} {o}" for o in world.OUTFITS]
    if group == "background":
        return [background_tag(value)]
    return [] if value == "none" else [value]
