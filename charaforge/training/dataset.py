"""The pictures of a run: decoded once, faults listed, captions built, some held out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from charaforge.errors import DatasetError
from charaforge.logs import track
from charaforge.training.captions import Caption, build_caption
from charaforge.training.config import TrainingConfig
from charaforge.training.pictures import bucket, read_picture
from charaforge.training.sources import Listing, Record, read_folder, read_table
from charaforge.warehouse.layout import Warehouse

TABLES = ("metadata.parquet", "metadata.csv")
_FEWEST_TO_HOLD_OUT = 6


@dataclass(frozen=True)
class Sample:
    """One picture that can be trained on.

    Attributes:
        path: where it lies.
        sha256: of the file's bytes, 64 hex digits.
        size: (width, height) it is cut to, px.
        caption: its words.
        split: "train" or "val".
    """

    path: Path
    sha256: str
    size: tuple[int, int]
    caption: Caption
    split: str


@dataclass(frozen=True)
class Dataset:
    """What a run learns from.

    Attributes:
        train: pictures that are trained on.
        held_out: pictures that are only measured on: the validation loss.
        problems: what was left out, with the reason, one line each.
        character: the trigger, "" where there is none.
    """

    train: tuple[Sample, ...]
    held_out: tuple[Sample, ...]
    problems: tuple[str, ...]
    character: str

    def fingerprint(self) -> str:
        """Return a hash of all pictures, sizes and captions, in order."""
        lines = (f"{s.split} {s.sha256} {s.size} {s.caption}" for s in (*self.train, *self.held_out))
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def load_dataset(config: TrainingConfig, warehouse: Warehouse, resolution: int, multiple: int) -> Dataset:
    """Decode every picture of the configured source.

    Args:
        config: the run.
        warehouse: for paths of tables.
        resolution: training size, px.
        multiple: both sides of a training picture are multiples of this, px.

    Raises:
        DatasetError: nothing that can be trained on is left.
        UsageError, UnknownNameError: see `read_folder`, `read_table`.
    """
    listing = _listing(config, warehouse)
    problems, samples = list(listing.problems), []
    for record in track(listing.records, "reading pictures", unit="pictures"):
        try:
            samples.append(_sample(record, config, resolution, multiple))
        except DatasetError as error:
            problems.append(error.message)
    kept = _without_copies(samples, problems)
    kept = _hold_out(kept, config.validation_share)
    train = tuple(s for s in kept if s.split == "train")
    if not train:
        source = config.dataset_meta or config.train_data_dir
        told = "".join(f"\n  - {line}" for line in problems)
        raise DatasetError(
            f"nothing in {source} can be trained on{':' if told else ': it is empty'}{told}",
            "a picture needs a caption: NAME.txt beside it, or tags in its row of the table (split train)",
        )
    names = {record.fields.get("character", "") for record in listing.records} - {""}
    character = config.character or (names.pop() if len(names) == 1 else "")
    return Dataset(train, tuple(s for s in kept if s.split == "val"), tuple(problems), character)


def _listing(config: TrainingConfig, warehouse: Warehouse) -> Listing:
    table, folder = config.dataset_meta, config.train_data_dir
    if table is None and folder is not None:
        table = next((folder / name for name in TABLES if (folder / name).is_file()), None)
    if table is not None:
        return read_table(table, warehouse, config.tag_field, config.character)
    assert folder is not None
    return read_folder(folder, config.character)


def _sample(record: Record, config: TrainingConfig, resolution: int, multiple: int) -> Sample:
    caption = build_caption(config.caption_template, record.fields, record.tags, config.prune_tags)
    if not caption.text():
        raise DatasetError(f"{record.path}: its caption is empty")
    picture, sha256 = read_picture(record.path)
    return Sample(record.path, sha256, bucket(picture.size, resolution, multiple), caption, record.split)


def _without_copies(samples: Iterable[Sample], problems: list[str]) -> list[Sample]:
    """Keep the first of equal files: a copy among the held-out pictures would make them worthless."""
    first: dict[str, Sample] = {}
    for sample in samples:
        if sample.sha256 in first:
            problems.append(f"{sample.path}: the same file as {first[sample.sha256].path}")
        else:
            first[sample.sha256] = sample
    return list(first.values())


def _hold_out(samples: list[Sample], share: float) -> list[Sample]:
    """Where the source has no val split, hold out a share of the pictures, chosen by their content."""
    if any(s.split == "val" for s in samples) or len(samples) < _FEWEST_TO_HOLD_OUT:
        return samples
    count = round(len(samples) * share)
    chosen = set(sorted(s.sha256 for s in samples)[:count])
    return [replace(s, split="val") if s.sha256 in chosen else s for s in samples]
