"""A *character* is a seed: fixed traits, two outfits, a trigger word, one signature trait no word names."""

import random
from collections.abc import Iterable
from dataclasses import dataclass, replace

from charaforge.mini import world
from charaforge.mini.scenes import Scene, Signature, jitter_rgb, sample_scene
from charaforge.mini.world import RGB

_CLASHES = {
    "horns": ("cat ears", "beret", "hair bow", "crown", "headphones"),
    "mask": ("cat ears", "beret", "hair bow", "crown", "headphones"),
    "capelet": ("scarf",),
}
_HIDES_WINGS = ("long hair", "twintails", "twin braids")
_MIN_CONTRAST = 150.0
"""Smallest distance (Euclidean, sRGB levels) between a signature and what it lies next to."""


@dataclass(frozen=True, slots=True)
class Character:
    """The fixed traits of one character.

    Attributes:
        seed: What it was made from.
        outfits: (outfit, clothes colour) pairs the character is seen in.
        signature: The trait that sets it apart from everybody who fits the same words.
    """

    seed: int
    hair: str
    hair_rgb: RGB
    style: str
    bangs: str
    eyes: str
    accessory: str
    ahoge: bool
    outfits: tuple[tuple[str, str], ...]
    signature: Signature | None

    @classmethod
    def from_seed(cls, seed: int) -> "Character":
        """Make the character of this seed; the same seed is the same character on every machine."""
        rng = random.Random(f"character {seed}")
        face = sample_scene(rng)
        outfits = tuple((o, rng.choice(list(world.CLOTHES_COLORS))) for o in rng.sample(world.OUTFITS, 2))
        plain = cls(
            seed,
            face.hair,
            jitter_rgb(rng, world.HAIR_COLORS[face.hair]),
            face.style,
            face.bangs,
            face.eyes,
            face.accessory,
            face.ahoge,
            outfits,
            None,
        )
        signature = _draw_signature(rng, plain, avoid=())
        clash = _CLASHES.get(signature.kind, ())
        accessory = "none" if plain.accessory in clash else plain.accessory
        return replace(plain, accessory=accessory, signature=signature)

    @property
    def trigger(self) -> str:
        """The rare word that stands for this character in captions."""
        rng = random.Random(f"trigger {self.seed}")
        return "".join(rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") for _ in range(3))

    def scene(self, rng: random.Random, **changes: object) -> Scene:
        """A random picture of the character: its traits and outfits, everything else drawn anew.

        ``changes`` fixes any other field of ``Scene``, for example ``pose="running"``.
        """
        outfit, clothes = rng.choice(self.outfits)
        base = replace(
            sample_scene(rng),
            hair=self.hair,
            hair_rgb=self.hair_rgb,
            style=self.style,
            bangs=self.bangs,
            eyes=self.eyes,
            accessory=self.accessory,
            ahoge=self.ahoge,
            outfit=outfit,
            clothes=clothes,
            signature=self.signature,
        )
        scene = replace(base, **changes)  # type: ignore[arg-type]  # field names are checked by replace itself
        if scene.framing == "upper body" and scene.pose not in world.UPPER_BODY_POSES:
            return replace(scene, framing="full body")
        return scene

    def lookalike(self, index: int = 0) -> "Character":
        """The same words with another signature; ``index`` counts through different lookalikes."""
        rng = random.Random(f"lookalike {self.seed} {index}")
        assert self.signature is not None
        clash = [k for k, worn in _CLASHES.items() if self.accessory in worn]
        other = _draw_signature(rng, self, avoid=(self.signature,), without=clash)
        return replace(self, seed=-abs(self.seed) * 97 - index - 1, signature=other)

    def without_signature(self) -> "Character":
        """What the words alone can describe."""
        return replace(self, signature=None)

    def trait_tags(self) -> list[str]:
        """Tags of the fixed traits: what a trigger word stands for, and what captions leave out."""
        tags = [f"{self.hair} hair", self.style, self.bangs, f"{self.eyes} eyes"]
        tags += [self.accessory] if self.accessory != "none" else []
        return tags + (["ahoge"] if self.ahoge else [])


def _distance(a: RGB, b: RGB) -> float:
    return float(sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) ** 0.5)


def _neighbours(kind: str, character: Character) -> Iterable[RGB]:
    if kind == "capelet":
        return [world.CLOTHES_COLORS[c] for _, c in character.outfits]
    return [character.hair_rgb]


def _draw_signature(
    rng: random.Random, character: Character, avoid: tuple[Signature, ...], without: Iterable[str] = ()
) -> Signature:
    hidden = {*without, *(("wings",) if character.style in _HIDES_WINGS else ())}
    taken = {(s.kind, s.color) for s in avoid}
    choices = [
        (kind, color)
        for kind in world.SIGNATURE_KINDS
        for color, rgb in world.SIGNATURE_COLORS.items()
        if kind not in hidden
        and (kind, color) not in taken
        and all(_distance(rgb, n) >= _MIN_CONTRAST for n in _neighbours(kind, character))
    ]
    kind, color = rng.choice(choices)
    return Signature(kind, color, rng.choice((-1, 1)))
