"""Families of easily confused characters: what an identity encoder has to tell apart.

A family is one character (4 pictures), two lookalikes that the same words describe (2 each), itself
without its signature (2), and a relative who differs in one trait that words can tell (2).
"""

import random
from dataclasses import replace

from charaforge.mini import world
from charaforge.mini.characters import Character
from charaforge.mini.scenes import Scene, jitter_rgb

FAMILY_SIZE = 12
"""Pictures per family; picture ``i`` belongs to family ``i // FAMILY_SIZE``."""

_MEMBER_OF_PICTURE = (0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4)
_MEMBERS = 5
_STYLES_SHOWING_WINGS = ("short hair", "bob cut", "side ponytail", "double bun", "spiked hair")
_ACCESSORIES_BESIDE_ALL = ("none", "glasses")


def identity_label(index: int) -> int:
    """A number that two pictures share exactly when they show the same character."""
    return index // FAMILY_SIZE * _MEMBERS + _MEMBER_OF_PICTURE[index % FAMILY_SIZE]


def same_words_label(index: int) -> int:
    """A number shared by the pictures of characters that differ in signature alone; -1 for the relatives."""
    return index // FAMILY_SIZE if _MEMBER_OF_PICTURE[index % FAMILY_SIZE] < _MEMBERS - 1 else -1


def family_member(first_seed: int, index: int) -> Character:
    """The character on picture ``index`` of the families that begin at ``first_seed``."""
    head = Character.from_seed(first_seed + index // FAMILY_SIZE)
    member = _MEMBER_OF_PICTURE[index % FAMILY_SIZE]
    if member in (1, 2):
        return head.lookalike(member)
    if member == 3:
        return head.without_signature()
    return _relative(head) if member == 4 else head


def family_scene(rng: random.Random, first_seed: int, index: int) -> Scene:
    """A random picture of that character."""
    return family_member(first_seed, index).scene(rng)


def _relative(head: Character) -> Character:
    rng = random.Random(f"relative {head.seed}")
    trait = rng.choice(("hair", "style", "bangs", "eyes", "accessory"))
    choices = {
        "hair": tuple(world.HAIR_COLORS),
        "style": _STYLES_SHOWING_WINGS,
        "bangs": world.BANGS,
        "eyes": tuple(world.EYE_COLORS),
        "accessory": _ACCESSORIES_BESIDE_ALL,
    }[trait]
    value = rng.choice([c for c in choices if c != getattr(head, trait)])
    changes: dict[str, object] = {trait: value}
    if trait == "hair":
        changes["hair_rgb"] = jitter_rgb(rng, world.HAIR_COLORS[value])
    return replace(head, **changes)  # type: ignore[arg-type]  # field names are the literals above
