"""Drawn datasets: PNG files with captions and a metadata table, as a user's own folder would be."""

import csv
import io
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from charaforge.errors import UsageError
from charaforge.logs import track
from charaforge.mini import world
from charaforge.mini.characters import Character
from charaforge.mini.render import render
from charaforge.mini.scenes import Scene, sample_scene, scene_tags
from charaforge.warehouse.atomic import replacing, write_text
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.tables import COLUMNS, TRAITS_NOTE

SIDES = (128, 1024)
"""Smallest and largest side of a drawn picture, px."""

_SPLIT_PATTERN = ("train", "ref", "train", "calib", "train", "ref")
"""Repeated over the pictures: half of them train, a third are held-out references, a sixth calibrate."""


@dataclass(frozen=True, slots=True)
class _Subject:
    """What is drawn, and how its table names it."""

    name: str
    word: str
    traits: tuple[str, ...]
    scene: Callable[[random.Random], Scene]
    seed: str


def draw_character(
    character: Character, folder: Path, count: int, warehouse: Warehouse, side: int = world.NATIVE_SIDE
) -> Path:
    """Draw a dataset of one character.

    Captions and ``tags`` leave out the fixed traits and begin with the trigger word, as curation makes them.

    Args:
        character: Whom to draw.
        folder: Where ``0001.png``, ``0001.txt`` ... and ``metadata.csv`` go; made when missing.
        count: Number of pictures, >= 1.
        warehouse: Tables store paths inside it relative to its root.
        side: Side of the square pictures, px, within ``SIDES``.

    Returns:
        Path of ``metadata.csv``.

    Raises:
        UsageError: ``count`` or ``side`` is out of range.
    """
    traits = tuple(character.trait_tags())
    subject = _Subject(
        character.trigger, character.trigger, traits, character.scene, f"character {character.seed}"
    )
    return _draw(subject, folder, count, warehouse, side)


def draw_world(
    seed: int, folder: Path, count: int, warehouse: Warehouse, side: int = world.NATIVE_SIDE
) -> Path:
    """Draw random pictures of the base world, everybody different; arguments as in ``draw_character``."""
    return _draw(_Subject("", "", (), sample_scene, f"world {seed}"), folder, count, warehouse, side)


def _draw(subject: _Subject, folder: Path, count: int, warehouse: Warehouse, side: int) -> Path:
    if count < 1:
        raise UsageError(f"cannot draw {count} pictures", "ask for at least 1")
    if not SIDES[0] <= side <= SIDES[1]:
        raise UsageError(f"cannot draw pictures of {side} px", f"ask for {SIDES[0]} to {SIDES[1]} px")
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        _draw_one(subject, folder, index, scene, side)
        | {"image_path": warehouse.portable(_picture(folder, index))}
        for index, scene in track(_scenes(subject, count), "drawing", total=count, unit="pictures")
    ]
    table = folder / "metadata.csv"
    write_text(table, _as_csv(rows))
    return table


def _scenes(subject: _Subject, count: int) -> Iterator[tuple[int, Scene]]:
    """Picture i does not depend on how many are drawn."""
    for index in range(count):
        yield index, subject.scene(random.Random(f"draw {subject.seed} {index}"))


def _picture(folder: Path, index: int) -> Path:
    return folder / f"{index + 1:04d}.png"


def _draw_one(subject: _Subject, folder: Path, index: int, scene: Scene, side: int) -> dict[str, str]:
    path = _picture(folder, index)
    with replacing(path) as temporary:
        Image.fromarray(render(scene, side)).save(temporary)
    tags = [tag for tag in scene_tags(scene) if tag not in subject.traits]
    write_text(path.with_suffix(".txt"), ", ".join([subject.word, *tags] if subject.word else tags) + "\n")
    return {
        "character": subject.name,
        "outfit": f"{scene.clothes} {scene.outfit}",
        "pose_tag": scene.pose,
        "style": "",
        "tags": ", ".join(tags),
        "source": f"mini world {world.WORLD_VERSION}, {subject.seed}, picture {index + 1}",
        "split": _SPLIT_PATTERN[index % len(_SPLIT_PATTERN)],
        "notes": TRAITS_NOTE + ", ".join(subject.traits) if subject.traits else "",
    }


def _as_csv(rows: list[dict[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
