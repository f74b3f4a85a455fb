"""A *scene* is one picture of the mini world, described completely: same scene, same pixels."""

import random
from dataclasses import dataclass

from charaforge.mini import world
from charaforge.mini.world import RGB


@dataclass(frozen=True, slots=True)
class Signature:
    """A trait no base-model picture shows: what makes a character more than its words.

    Attributes:
        kind: One of ``world.SIGNATURE_KINDS``.
        color: One of ``world.SIGNATURE_COLORS``.
        side: -1 or +1, the side of the picture for one-sided kinds (split hair, mask).
    """

    kind: str
    color: str
    side: int = 1

    @property
    def rgb(self) -> RGB:
        """The trait's colour, sRGB 0-255."""
        return world.SIGNATURE_COLORS[self.color]


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that decides the pixels of one picture; names are keys of the tables in ``world``.

    Attributes:
        geometry_seed: Seed of all small jitter (limb angles, position, clouds); any int.
        hair_rgb: Exact hair colour, near ``world.HAIR_COLORS[hair]``.
        signature: The character's signature trait, or None for the base world.
    """

    hair: str
    style: str
    bangs: str
    eyes: str
    outfit: str
    clothes: str
    accessory: str
    pose: str
    expression: str
    background: str
    framing: str
    ahoge: bool
    blush: bool
    geometry_seed: int
    hair_rgb: RGB
    signature: Signature | None = None

    @property
    def held_out(self) -> bool:
        """Whether this combination of hair, style and outfit is kept out of the base model's training."""
        return is_held_out(self.hair, self.style, self.outfit)


def is_held_out(hair: str, style: str, outfit: str) -> bool:
    """One (hair colour, hair style, outfit) triple in eight is never trained on; spread as a Latin square."""
    i = list(world.HAIR_COLORS).index(hair)
    j = world.HAIR_STYLES.index(style)
    k = world.OUTFITS.index(outfit)
    return (i + 3 * j + 5 * k) % 8 == 0


def jitter_rgb(rng: random.Random, rgb: RGB, sigma: float = 6.0) -> RGB:
    """Shift a colour a little: a common brightness step and a smaller one per channel (sigma in levels)."""
    common = rng.gauss(0, sigma * 0.7)
    r, g, b = (max(0.0, min(255.0, v + common + rng.gauss(0, sigma * 0.4))) for v in rgb)
    return (r, g, b)


def sample_scene(rng: random.Random) -> Scene:
    """Draw one random scene of the base world (no signature), all attributes independent."""
    framing = "upper body" if rng.random() < 0.4 else "full body"
    hair = rng.choice(list(world.HAIR_COLORS))
    return Scene(
        hair=hair,
        style=rng.choice(world.HAIR_STYLES),
        bangs=rng.choice(world.BANGS),
        eyes=rng.choice(list(world.EYE_COLORS)),
        outfit=rng.choice(world.OUTFITS),
        clothes=rng.choice(list(world.CLOTHES_COLORS)),
        accessory=rng.choice(world.ACCESSORIES),
        pose=rng.choice(world.UPPER_BODY_POSES if framing == "upper body" else world.POSES),
        expression=rng.choice(world.EXPRESSIONS),
        background=rng.choice(list(world.BACKGROUNDS)),
        framing=framing,
        ahoge=rng.random() < 0.2,
        blush=rng.random() < 0.35,
        geometry_seed=rng.getrandbits(32),
        hair_rgb=jitter_rgb(rng, world.HAIR_COLORS[hair]),
    )


def sample_training_scene(rng: random.Random) -> Scene:
    """Draw a random scene whose combination is not held out of training."""
    while (scene := sample_scene(rng)).held_out:
        pass
    return scene


def sample_held_out_scene(rng: random.Random) -> Scene:
    """Draw a random scene whose combination the base model has never seen."""
    while not (scene := sample_scene(rng)).held_out:
        pass
    return scene


def background_tag(background: str) -> str:
    """The Danbooru-style tag of a background name."""
    return background if background in ("outdoors", "night sky") else f"{background} background"


def scene_tags(scene: Scene) -> list[str]:
    """The exact Danbooru-style tags of a scene, in canonical order; signature traits have no word."""
    tags = ["1girl", "chibi", scene.framing, f"{scene.hair} hair", scene.style, scene.bangs]
    tags += [f"{scene.eyes} eyes"] if scene.expression != "closed eyes" else []
    tags += [scene.expression, f"{scene.clothes} {scene.outfit}"]
    tags += [scene.accessory] if scene.accessory != "none" else []
    tags += ["ahoge"] if scene.ahoge else []
    tags += ["blush"] if scene.blush else []
    return [*tags, scene.pose, background_tag(scene.background)]


def all_tags() -> list[str]:
    """Every tag that ``scene_tags`` can produce, in a fixed order (the mini tagger's vocabulary)."""
    tags = ["1girl", "chibi", *world.FRAMINGS]
    tags += [f"{c} hair" for c in world.HAIR_COLORS]
    tags += [*world.HAIR_STYLES, *world.BANGS]
    tags += [f"{c} eyes" for c in world.EYE_COLORS]
    tags += list(world.EXPRESSIONS)
    tags += [f"{c} {o}" for o in world.OUTFITS for c in world.CLOTHES_COLORS]
    tags += [a for a in world.ACCESSORIES if a != "none"]
    tags += ["ahoge", "blush", *world.POSES]
    return tags + [background_tag(b) for b in world.BACKGROUNDS]
