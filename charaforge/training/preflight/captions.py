"""Captions as they will be trained: shown, counted, and refused where too many are empty or cut off."""

from __future__ import annotations

from collections.abc import Iterator

from charaforge.errors import DatasetError, PromptError
from charaforge.training.reading import Reader
from charaforge.training.setup import Prepared
from charaforge.training.words import variant

SHOWN = 4
"""Captions that are shown."""


def check_captions(run: Prepared) -> None:
    """Refuse pictures without words, and captions of which the model would see only the beginning.

    Raises:
        DatasetError: more than `max_empty_share` have no caption, or more than `max_truncated_share` are
            longer than the text encoder reads, or a weighted one cannot be read.
        UsageError: see `Reader`.
    """
    _refuse_empty(run)
    _refuse_unreadable(run)
    samples, limit, share = run.dataset.train, run.config.max_token_length, run.config.max_truncated_share
    reader = Reader(run.base.bundle, run.config)
    long = [sample for sample in samples if reader.is_cut_off(sample.caption.text())]
    if len(long) > share * len(samples):
        raise DatasetError(
            f"{len(long)} of {len(samples)} captions are longer than the {limit} tokens that "
            f"{run.base.bundle.name} reads, for example that of {long[0].path}",
            "shorten them, raise max_token_length (150, 225), or raise max_truncated_share to train on their "
            "beginnings",
        )


def caption_lines(run: Prepared) -> Iterator[str]:
    """Yield the first captions as they stand and shuffled once, with their tokens, and what is odd."""
    config, samples = run.config, run.dataset.train
    reader = Reader(run.base.bundle, config)
    for sample in samples[:SHOWN]:
        text = sample.caption.text()
        yield f"caption   {sample.path.name} ({reader.tokens(text)} tokens): {text}"
        yield f"          as trained: {variant(config, sample, 0) or '(empty)'}"
    counts = [reader.tokens(sample.caption.text()) for sample in samples]
    cut = sum(reader.is_cut_off(sample.caption.text()) for sample in samples)
    told = f"{min(counts)} to {max(counts)} of {config.max_token_length}"
    yield f"tokens    {told}, {cut} of {len(samples)} captions are cut off"
    joined = sum(any("_" in tag for tag in sample.caption.tags) for sample in samples)
    if joined:
        yield f"warning   {joined} captions hold tags with underscores; anime bases know them with spaces"
    if not config.weighted_tags and any(_weighs(t) for s in samples for t in s.caption.tags):
        yield "warning   captions hold (tag:1.2); it is read as plain text unless weighted_tags is true"


def _weighs(tag: str) -> bool:
    return tag.startswith("(") and tag.endswith(")") and ":" in tag


def _refuse_unreadable(run: Prepared) -> None:
    """Refuse weighted captions whose syntax is wrong, all of them at once."""
    reader, faults = Reader(run.base.bundle, run.config), []
    for sample in (*run.dataset.train, *run.dataset.held_out):
        try:
            reader.tokens(sample.caption.text())
        except PromptError as error:
            faults.append(f"{sample.path}: {error.message}")
    if faults:
        told = "".join(f"\n  - {line}" for line in faults[:8])
        raise DatasetError(
            f"{len(faults)} captions cannot be read:{told}",
            r"write the brackets of names as \( and \), or set weighted_tags: false",
        )


def _refuse_empty(run: Prepared) -> None:
    empty = [one for one in run.dataset.left_out if one.wordless]
    total = len(empty) + len(run.dataset.train) + len(run.dataset.held_out)
    if len(empty) > run.config.max_empty_share * total:
        told = "".join(f"\n  - {one}" for one in empty[:8])
        raise DatasetError(
            f"{len(empty)} of {total} pictures have no caption:{told}",
            "write NAME.txt beside each (charaforge tag does), or raise max_empty_share to leave them out",
        )
