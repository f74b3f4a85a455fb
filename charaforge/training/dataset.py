"""The pictures of a run: decoded once, faults listed, captions built, some held out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from charaforge.diffusion.added_conditions import PictureSize
from charaforge.errors import DatasetError, UsageError
from charaforge.logs import track
from charaforge.training import randomness
from charaforge.training.buckets import Buckets, default_step, fit
from charaforge.training.captions import Caption, build_caption
from charaforge.training.config import TrainingConfig
from charaforge.training.masks import Mask, find_masks
from charaforge.training.pictures import Size, View, anywhere, middle, read_picture
from charaforge.training.repeats import repeats
from charaforge.training.sources import LeftOut, Listing, Record, as_prior, read_source
from charaforge.warehouse.layout import Warehouse

_FEWEST_TO_HOLD_OUT = 6


@dataclass(frozen=True)
class Sample:
    """One picture that can be trained on.

    Attributes:
        path: where it lies.
        sha256: of the file's bytes, 64 hex digits.
        original: (width, height) of the picture, upright, px.
        size: (width, height) it is cut to, px.
        views: what it is cut to; the first is the middle, as it is.
        caption: its words.
        split: "train" or "val".
        repeats: how often an epoch shows it.
        prior: whether it belongs to the regularisation set.
        mask: its mask; None where all of it counts.
    """

    path: Path
    sha256: str
    original: Size
    size: Size
    views: tuple[View, ...]
    caption: Caption
    split: str = "train"
    repeats: int = 1
    prior: bool = False
    mask: Mask | None = None

    def told_size(self, view: int = 0) -> PictureSize:
        """Return what SDXL is told of a view's sizes."""
        top, left = self.views[view].offset(self.size, self.original)
        return PictureSize(*self.size, original=self.original, crop=(left, top))


@dataclass(frozen=True)
class Dataset:
    """What a run learns from.

    Attributes:
        train: pictures that are trained on, those of the regularisation set last.
        held_out: pictures that are only measured on: the validation loss.
        left_out: files that are not trained on, with the reason.
        notes: what was understood in a way that should be told, one line each.
        character: the trigger, "" where there is none.
    """

    train: tuple[Sample, ...]
    held_out: tuple[Sample, ...]
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]
    character: str

    def fingerprint(self) -> str:
        """Return a hash of all pictures, sizes, views, captions, weights and masks, in order."""
        lines = (
            (s.split, s.sha256, s.size, s.views, s.caption, s.repeats, s.prior, s.mask and s.mask.sha256)
            for s in (*self.train, *self.held_out)
        )
        return hashlib.sha256("\n".join(map(str, lines)).encode()).hexdigest()


@dataclass(frozen=True)
class _Found:
    """A picture that could be decoded; its size is not decided yet."""

    record: Record
    sha256: str
    original: Size
    transparent: bool
    caption: Caption
    prior: bool


def load_dataset(config: TrainingConfig, warehouse: Warehouse, resolution: int, multiple: int) -> Dataset:
    """Decode every picture of the configured sources.

    Args:
        config: the run.
        warehouse: for paths of tables.
        resolution: training size, px.
        multiple: both sides of a training picture are multiples of this, px.

    Raises:
        DatasetError: nothing that can be trained on is left.
        UsageError, UnknownNameError: see `read_folder`, `read_table`; a bucket_step that does not fit.
    """
    buckets = _buckets(config, resolution, multiple)
    listing = read_source(
        config.dataset_meta,
        config.train_data_dir,
        warehouse,
        config.tag_field,
        config.character,
        mixed="[character]" not in config.caption_template,
    )
    prior = Listing()
    if config.has_regularisation:
        place = (config.reg_meta, config.reg_data_dir)
        prior = as_prior(read_source(*place, warehouse, config.tag_field, "", mixed=True))
    left_out, notes = [*listing.left_out, *prior.left_out], [*listing.notes, *prior.notes]
    found = _decoded(config, listing.records, False, left_out, notes)
    found = _hold_out(_without_copies(found, left_out), config.validation_share)
    if not any(one.record.split == "train" for one in found):
        raise DatasetError(*_nothing_left(config, left_out))
    found = _without_copies([*found, *_decoded(config, prior.records, True, left_out, notes)], left_out)
    samples = _samples(config, found, buckets)
    names = {record.fields.get("character", "") for record in listing.records} - {""}
    return Dataset(
        train=tuple(s for s in samples if s.split == "train"),
        held_out=tuple(s for s in samples if s.split == "val"),
        left_out=tuple(left_out),
        notes=tuple(notes),
        character=config.character or (names.pop() if len(names) == 1 else ""),
    )


def _buckets(config: TrainingConfig, resolution: int, multiple: int) -> Buckets:
    step = config.bucket_step or default_step(resolution, multiple)
    if step % multiple or step > resolution:
        raise UsageError(
            f"bucket_step {step} does not suit this base at {resolution} px",
            f"give a multiple of {multiple} that is at most the resolution, or leave it out",
        )
    return Buckets(resolution, step, config.max_aspect if config.buckets else 1.0, config.upscale)


def _decoded(
    config: TrainingConfig, records: list[Record], prior: bool, left_out: list[LeftOut], notes: list[str]
) -> list[_Found]:
    """Decode pictures and build their captions; what cannot be used goes to `left_out`."""
    found = []
    template, prune = ("", ()) if prior else (config.caption_template, config.prune_tags)
    for record in track(records, "reading pictures", unit="pictures"):
        caption = build_caption(template, record.fields, record.tags, prune, weighted=config.weighted_tags)
        if not caption.text():
            left_out.append(LeftOut(record.path, "its caption is empty", wordless=True))
            continue
        try:
            picture = read_picture(record.path)
        except DatasetError as error:
            left_out.append(LeftOut(record.path, error.message.removeprefix(f"{record.path} ")))
            continue
        notes += [picture.note] if picture.note else []
        transparent = picture.alpha is not None
        found.append(_Found(record, picture.sha256, picture.rgb.size, transparent, caption, prior))
    return found


def _without_copies(found: Iterable[_Found], left_out: list[LeftOut]) -> list[_Found]:
    """Keep the first of equal files: a copy among the held-out pictures would make them worthless."""
    first: dict[str, _Found] = {}
    for one in found:
        if one.sha256 in first:
            left_out.append(LeftOut(one.record.path, f"the same file as {first[one.sha256].record.path}"))
        else:
            first[one.sha256] = one
    return list(first.values())


def _hold_out(found: list[_Found], share: float) -> list[_Found]:
    """Where the source has no val split, hold out a share of the pictures, chosen by their content."""
    hashes = sorted({one.sha256 for one in found})
    if any(one.record.split == "val" for one in found) or len(hashes) < _FEWEST_TO_HOLD_OUT:
        return found
    chosen = set(hashes[: round(len(hashes) * share)])
    return [
        replace(one, record=replace(one.record, split="val")) if one.sha256 in chosen else one
        for one in found
    ]


def _samples(config: TrainingConfig, found: list[_Found], buckets: Buckets) -> list[Sample]:
    """Give every picture its size, its views, its mask and how often it is shown."""
    sizes = fit([one.original for one in found], buckets, config.max_buckets)
    masks = _masks(config, found)
    shown = _shown(config, found)
    return [
        Sample(
            path=one.record.path,
            sha256=one.sha256,
            original=one.original,
            size=size,
            views=_views(config, one, size),
            caption=one.caption,
            split=one.record.split,
            repeats=shown.get(one.record.path, 1),
            prior=one.prior,
            mask=masks.get(one.record.path),
        )
        for one, size in zip(found, sizes, strict=True)
    ]


def _shown(config: TrainingConfig, found: list[_Found]) -> dict[Path, int]:
    records = [one.record for one in found if one.record.split == "train" and not one.prior]
    counts = repeats(records, config.repeats, config.balance_outfits)
    return {record.path: count for record, count in zip(records, counts, strict=True)}


def _views(config: TrainingConfig, one: _Found, size: Size) -> tuple[View, ...]:
    views = [middle(one.original, size)]
    if one.record.split == "train":
        views += [
            anywhere(one.original, size, config.crop_scale, randomness.rng(config.seed, "cut", one.sha256, n))
            for n in range(1, config.crop_variants)
        ]
        views += [replace(view, flipped=True) for view in views] if config.flip_aug else []
    return tuple(views)


def _masks(config: TrainingConfig, found: list[_Found]) -> dict[Path, Mask]:
    """Return each picture's mask by the picture's path; regularisation pictures count in whole."""
    mine = [one for one in found if not one.prior]
    if config.mask_dir is not None:
        return find_masks(config.mask_dir, [(one.record.path, one.original) for one in mine])
    chosen = [one for one in mine if config.alpha_mask and one.transparent]
    return {one.record.path: Mask(one.record.path, True, one.sha256) for one in chosen}


def _nothing_left(config: TrainingConfig, left_out: list[LeftOut]) -> tuple[str, str]:
    source = config.dataset_meta or config.train_data_dir
    told = "".join(f"\n  - {line}" for line in left_out)
    return (
        f"nothing in {source} can be trained on{':' if told else ': it is empty'}{told}",
        "a picture needs a caption: NAME.txt beside it, or tags in its row of the table (split train)",
    )
