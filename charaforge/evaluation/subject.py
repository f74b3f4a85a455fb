"""Whom a LoRA shall show: its name, its words, and real pictures that no training has seen."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, Field

from charaforge.config import load_yaml
from charaforge.errors import NotMeasurableError, UnknownNameError, UsageError
from charaforge.evaluation.colors import with_colors
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.tables import is_usable, locate_picture, noted_traits, table_rows

FEWEST_REFERENCES = 8
"""Held-out references below which no likeness is told."""

_TABLES = ("metadata.parquet", "metadata.csv")

NameTraits = Callable[[Sequence[Path]], tuple[str, ...]]
"""Finds the tags of fixed traits in pictures of one character."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One character.

    Attributes:
        name: Its name, which is the trigger word.
        traits: Tags of its fixed traits; what a rival without a LoRA is told.
        outfit: The outfit it is seen in most often; "" where the table tells none.
        style: Its style word; mostly "".
        references: Held-out pictures (split ref) that likeness is measured against.
        calibration: Further held-out pictures (split calib) that show what real pictures reach.
        training: Pictures that were trained on (split train and val): what must not be copied.
        training_tags: Tags of the captions -> share of the training pictures that have it.
    """

    name: str
    traits: tuple[str, ...]
    outfit: str
    style: str
    references: tuple[Path, ...]
    calibration: tuple[Path, ...]
    training: tuple[Path, ...] = ()
    training_tags: dict[str, float] = field(default_factory=dict)

    @property
    def held_out(self) -> tuple[Path, ...]:
        """References, then calibration pictures."""
        return (*self.references, *self.calibration)

    @property
    def pictures(self) -> tuple[Path, ...]:
        """All pictures of the character."""
        return (*self.held_out, *self.training)


class TrainingRecord(BaseModel):
    """What is read of a LoRA's ``resolved_config.yaml``; its other keys concern the trainer alone."""

    model_id: str = Field(description="base model")
    dataset_meta: Path | None = Field(None, description="metadata table")
    train_data_dir: Path | None = Field(None, description="folder of pictures, where there was no table")
    character: str = Field("", description="whose rows were trained on")

    @property
    def table(self) -> Path | None:
        """The metadata table that was named, or that lies in the folder of pictures; None: neither."""
        if self.dataset_meta is not None or self.train_data_dir is None:
            return self.dataset_meta
        places = (self.train_data_dir / name for name in _TABLES)
        return next((place for place in places if place.is_file()), None)


def training_record(lora_folder: Path) -> TrainingRecord | None:
    """Read how a LoRA was trained; None for a LoRA that carries no ``resolved_config.yaml``."""
    path = lora_folder / "resolved_config.yaml"
    return load_yaml(path, TrainingRecord) if path.is_file() else None


def load_subject(table: Path, character: str, warehouse: Warehouse, name_traits: NameTraits) -> Subject:
    """Read a character from a metadata table.

    Args:
        table: With the columns image_path, character and split; outfit, style and notes as far as there.
        character: Which one; "" where the table has only one.
        warehouse: For paths in the table.
        name_traits: Finds the traits in the references where the table's notes do not list them.

    Raises:
        UsageError: several characters and none chosen.
        UnknownNameError: the table has no such character, or lacks a column.
        NotMeasurableError: too few held-out references, or copies of a picture on both sides of the split.
    """
    rows = table_rows(table)
    for column in ("image_path", "character", "split"):
        if column not in rows[0]:
            raise UnknownNameError(f"column of {table.name}", column, rows[0])
    name = _choose(character, sorted({row["character"] for row in rows} - {""}), table)
    rows = [row for row in rows if row["character"] == name and is_usable(row)]
    _check_splits(rows, table)
    references = _pictures(rows, "ref", table, warehouse)
    if len(references) < FEWEST_REFERENCES:
        missing = FEWEST_REFERENCES - len(references)
        raise NotMeasurableError(
            f"{table} has {len(references)} held-out references of {name!r} that exist (split ref)",
            f"{FEWEST_REFERENCES} are needed, 20 are good: {missing} are missing",
        )
    return Subject(
        name,
        with_colors(_noted_traits(rows) or name_traits(references), _trained_tags(rows)),
        most_trained(rows, "outfit"),
        most_trained(rows, "style"),
        references,
        _pictures(rows, "calib", table, warehouse),
        (*_pictures(rows, "train", table, warehouse), *_pictures(rows, "val", table, warehouse)),
        _tag_shares(rows),
    )


def characters_in(table: Path) -> list[str]:
    """Names of the characters of a metadata table."""
    return sorted({row.get("character", "") for row in table_rows(table)} - {""})


def most_trained(rows: Sequence[dict[str, str]], column: str) -> str:
    """What a column says of most usable training pictures; "" where it says nothing of any."""
    trained = (row for row in rows if is_usable(row) and row.get("split") == "train")
    values = Counter(row[column] for row in trained if row.get(column))
    return values.most_common(1)[0][0] if values else ""


def _choose(character: str, names: list[str], table: Path) -> str:
    if not names:
        raise UsageError(f"{table} names no character", "fill its column character")
    if not character and len(names) > 1:
        raise UsageError(
            f"{table} has {len(names)} characters: {', '.join(names[:8])}", "say which with --character"
        )
    if character and character not in names:
        raise UnknownNameError(f"character of {table.name}", character, names)
    return character or names[0]


def _pictures(
    rows: Sequence[dict[str, str]], split: str, table: Path, warehouse: Warehouse
) -> tuple[Path, ...]:
    paths = (locate_picture(row["image_path"], table, warehouse) for row in rows if row["split"] == split)
    return tuple(path for path in paths if path.is_file())


def _noted_traits(rows: Sequence[dict[str, str]]) -> tuple[str, ...]:
    return next(filter(None, (noted_traits(row.get("notes", "")) for row in rows)), ())


def _trained_tags(rows: Sequence[dict[str, str]]) -> list[list[str]]:
    """Tags of each picture that is trained on."""
    trained = [row.get("tags", "").split(",") for row in rows if row["split"] == "train"]
    return [[tag.strip() for tag in tags if tag.strip()] for tags in trained]


def _tag_shares(rows: Sequence[dict[str, str]]) -> dict[str, float]:
    trained = _trained_tags(rows)
    counts = Counter(tag for tags in trained for tag in set(tags))
    return {tag: count / len(trained) for tag, count in counts.most_common()}


def _check_splits(rows: Sequence[dict[str, str]], table: Path) -> None:
    """Refuse a table where a duplicate group, or one file's content, is trained on and held out as well."""
    for column in ("sha256", "dup_group"):
        trained = {row[column] for row in rows if row.get(column) and row["split"] in ("train", "val")}
        leaks = [r for r in rows if r.get(column) in trained and r["split"] in ("ref", "calib")]
        if leaks:
            raise NotMeasurableError(
                f"{table}: {len(leaks)} held-out pictures are copies of trained ones, by their {column} "
                f"({leaks[0]['image_path']} …)",
                "run charaforge merge or curate again, which splits by duplicate group, and train anew",
            )
