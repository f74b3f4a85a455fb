"""Copy detection: which transforms of a picture are recognised as copies, and which look-alikes are not?

    python -m charaforge.mini.measure.copies [pictures [side]]

Pictures show characters, four each. *Recall*: share of transformed pictures that are a copy of their
original. *False*: share that are a copy of some other picture. *Hash alone*: the same before the closer look.
Hard pairs are two pictures that differ in one thing: the expression, the signature trait, or the colour of
the clothes.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from charaforge.curation.dedupe.candidates import candidates, look_closely
from charaforge.curation.dedupe.dedupe import DEFAULT_RADIUS
from charaforge.curation.dedupe.features import Features, features, stage
from charaforge.curation.pictures import Picture
from charaforge.logs import track
from charaforge.mini import world
from charaforge.mini.characters import Character
from charaforge.mini.measure.attacks import ATTACKS, Pixels, attacked
from charaforge.mini.measure.bars import Bar
from charaforge.mini.render import render
from charaforge.mini.scenes import Scene

PICTURES = 2000
REQUIRED = ("resize", "JPEG q30", "blur", "gamma", "mirror", "rot90")
HARD = ("other expression", "lookalike", "recoloured outfit")
BARS = {f"recall: {name}": Bar(0.98) for name in REQUIRED} | {
    f"merged: {name}": Bar(0.01, at_most=True) for name in HARD
}
_FIRST_CHARACTER = 40_000
_PER_CHARACTER = 4


@dataclass(frozen=True)
class Line:
    """One line of the table.

    Attributes:
        name: transform, or kind of hard pair.
        pairs: how many pairs were tried.
        recall: share found to be copies of their original; for hard pairs the share merged wrongly.
        hash_alone: the same by close 64-bit hashes only.
        false: share found to be copies of another picture than the original.
    """

    name: str
    pairs: int
    recall: float
    hash_alone: float
    false: float


def measure(pictures: int = PICTURES, side: int = world.NATIVE_SIDE) -> list[Line]:
    """Return a line per transform, then one per kind of hard pair.

    Args:
        pictures: how many originals.
        side: of the pictures, px.
    """
    kinds: dict[str, list[Pixels]] = {name: [] for name in ("", *ATTACKS, *HARD)}
    rows: dict[str, list[dict[str, str]]] = {name: [] for name in kinds}
    differs: dict[str, list[bool]] = {name: [] for name in HARD}
    for scene, look, rng in track(_scenes(pictures), "drawing", total=pictures, unit="pictures"):
        original = render(scene, side)
        made = {"": original} | {name: attacked(original, name, rng) for name in ATTACKS}
        made |= {name: render(other, side) for name, other in _hard(scene, look, rng).items()}
        for name, picture in made.items():
            rows[name].append(_row(picture))
        for name in HARD:
            differs[name].append(bool((made[name] != original).any()))
    known = features(rows[""])
    lines = [_line(name, known, features(rows[name]), np.ones(pictures, bool)) for name in ATTACKS]
    return lines + [_line(name, known, features(rows[name]), np.array(differs[name])) for name in HARD]


def figures(lines: Sequence[Line]) -> dict[str, float]:
    """Return the figures that have bars."""
    return {
        f"{'merged' if line.name in HARD else 'recall'}: {line.name}": line.recall
        for line in lines
        if line.name in (*REQUIRED, *HARD)
    }


def table(lines: Sequence[Line]) -> str:
    """Return the lines as a table in Markdown."""
    head = "| Transform | Pairs | Copies found | by the hash alone | Copies of another picture |\n"
    return f"{head}|---|---|---|---|---|\n" + "".join(
        f"| {one.name} | {one.pairs} | {one.recall:.4f} | {one.hash_alone:.4f} | {one.false:.4f} |\n"
        for one in lines
    )


def _scenes(pictures: int) -> Iterator[tuple[Scene, Character, random.Random]]:
    for index in range(pictures):
        rng = random.Random(f"copies {index}")
        character = Character.from_seed(_FIRST_CHARACTER + index // _PER_CHARACTER)
        yield character.scene(rng), character, rng


def _hard(scene: Scene, character: Character, rng: random.Random) -> dict[str, Scene]:
    expressions = [name for name in world.EXPRESSIONS if name != scene.expression]
    colours = [name for name in world.CLOTHES_COLORS if name != scene.clothes]
    return {
        "other expression": replace(scene, expression=rng.choice(expressions)),
        "lookalike": replace(scene, signature=character.lookalike(rng.randrange(3)).signature),
        "recoloured outfit": replace(scene, clothes=rng.choice(colours)),
    }


def _row(picture: Pixels) -> dict[str, str]:
    height, width, _ = picture.shape
    (row,) = stage().work([Picture(picture, width, height, "png", "")])
    return row | {"sha256": bytes(32).hex()}


def _line(name: str, known: Features, new: Features, counted: np.ndarray) -> Line:
    """Compare the i-th new picture with all known ones; the i-th known one is its original."""
    count = len(known)
    every = Features(
        *(np.concatenate([getattr(known, part), getattr(new, part)]) for part in Features.__annotations__)
    )
    edges = candidates(known.small[:, 0], new, DEFAULT_RADIUS).edges
    edges = look_closely(edges[edges["other"] < count], every)
    one, other = edges["one"].astype(int) - count, edges["other"]
    own, other_own = np.zeros((2, count), bool), np.zeros(count, bool)
    own[0, one[one == other]] = True
    own[1, one[(one == other) & edges["is_copy"]]] = True
    other_own[one[(one != other) & edges["is_copy"]]] = True
    shares = [float(found[counted].mean()) for found in (own[1], own[0], other_own)]
    return Line(name, int(counted.sum()), *shares)


def main() -> None:
    """Print the table."""
    sys.stdout.write(table(measure(*(int(word) for word in sys.argv[1:]))))


if __name__ == "__main__":
    main()
