"""What a character sheet asks for, by the kind of base: the mini world's words, or those of anime models."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cell:
    """One picture of a sheet.

    Attributes:
        label: What stands below it.
        words: What is asked for, behind the character.
    """

    label: str
    words: str


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a sheet.

    Attributes:
        title: What stands above it.
        cells: Its pictures.
    """

    title: str
    cells: tuple[Cell, ...]


MINI_HEAD, REAL_HEAD = "1girl, [character], chibi", "1girl, solo, [character]"
REAL_NEGATIVE = "lowres, bad anatomy, bad hands, multiple views, text, watermark"


def _row(title: str, words: str, cells: Sequence[tuple[str, str]]) -> Row:
    """A row whose pictures share their words but for what stands in place of ``{}``."""
    return Row(title, tuple(Cell(label, words.format(own)) for label, own in cells))


def _same(*words: str) -> list[tuple[str, str]]:
    return [(word, word) for word in words]


MINI: tuple[Row, ...] = (
    _row(
        "Views",
        "{}",
        [
            ("full body", "full body, smile, [outfit], standing, white background"),
            ("upper body", "upper body, smile, [outfit], standing, white background"),
            ("on blue", "full body, smile, [outfit], standing, blue background"),
            ("close, on pink", "upper body, smile, [outfit], standing, pink background"),
            ("outdoors", "full body, smile, [outfit], standing, outdoors"),
            ("night sky", "full body, smile, [outfit], standing, night sky"),
        ],
    ),
    _row(
        "Expressions",
        "upper body, {}, white background",
        [
            ("smile", "smile, [outfit], standing"),
            ("open mouth", "open mouth, [outfit], standing"),
            ("closed eyes", "closed eyes, [outfit], standing"),
            ("angry", "angry, [outfit], standing"),
            ("open mouth, waving", "open mouth, [outfit], waving"),
            ("angry, hands on hips", "angry, [outfit], hands on hips"),
        ],
    ),
    _row(
        "Poses",
        "full body, smile, [outfit], {}, white background",
        _same("waving", "arms up", "hands on hips", "running", "jumping", "sitting"),
    ),
    _row(
        "Outfits",
        "full body, smile, {}, standing, white background",
        _same("red hoodie", "blue serafuku", "purple kimono", "white dress", "black maid", "green overalls"),
    ),
)

REAL: tuple[Row, ...] = (
    _row(
        "Views",
        "full body, [outfit], standing, {}, simple background, white background",
        [
            ("front", "straight-on, looking at viewer"),
            ("three-quarter", "three-quarter view"),
            ("side", "from side, profile"),
            ("back", "from behind"),
            ("from above", "from above, looking up"),
            ("from below", "from below"),
        ],
    ),
    _row(
        "Expressions",
        "upper body, [outfit], looking at viewer, {}, simple background",
        [
            ("smile", "smile, closed mouth"),
            ("laughing", "laughing, open mouth, closed eyes"),
            ("angry", "angry, frown"),
            ("sad", "sad, tears"),
            ("surprised", "surprised, wide-eyed, open mouth"),
            ("embarrassed", "embarrassed, blush"),
        ],
    ),
    _row(
        "Poses",
        "full body, [outfit], {}, simple background",
        [
            ("waving", "waving"),
            ("arms up", "arms up"),
            ("hands on hips", "hands on own hips"),
            ("running", "running"),
            ("jumping", "jumping"),
            ("sitting", "sitting"),
        ],
    ),
    _row(
        "Outfits",
        "cowboy shot, standing, {}, simple background",
        [
            ("school uniform", "serafuku, pleated skirt"),
            ("hoodie", "hoodie, shorts"),
            ("kimono", "kimono, obi"),
            ("summer dress", "white sundress, straw hat"),
            ("suit", "suit, necktie"),
            ("armor", "armor, cape"),
        ],
    ),
)
