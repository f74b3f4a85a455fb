"""From wishes to the files of a job."""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charaforge.errors import UsageError
from charaforge.jobstore.files import Files
from charaforge.jobstore.folder import JobFolder
from charaforge.jobstore.item_file import Draft, write_items
from charaforge.jobstore.planning import group_key
from charaforge.jobstore.spec import JobSpec, Wish
from charaforge.requests.generation import GenerationRequest
from charaforge.requests.prompts import settle


@dataclass(frozen=True)
class Prepared:
    """Items that are ready to be written.

    Attributes:
        shared: a whole request; the lines hold what differs from it.
        lines: content of `items.jsonl`.
        items_index: of `items.idx`.
        shards_index: of `shards.idx`.
        total: number of items.
        shards: number of shards.
    """

    shared: Mapping[str, Any]
    lines: bytes
    items_index: bytes
    shards_index: bytes
    total: int
    shards: int

    @property
    def sha256(self) -> str:
        """Of the lines."""
        return hashlib.sha256(self.lines).hexdigest()


def prepare(wishes: Iterable[Wish], wildcards: Path | None, limit: int) -> Prepared:
    """Return the files of the items.

    Args:
        wishes: the items.
        wildcards: folder of the wildcards; None = leave prompts as they are.
        limit: how many items there may be.

    Raises:
        UsageError: there are none, or too many.
        PromptError, UnknownNameError, ConfigError: see `requests.prompts.settle`.
    """
    shared: dict[str, Any] = {}
    drafts: list[Draft] = []
    for wish, single in _singles(wishes, wildcards):
        plain = single.plain()
        shared = shared or plain
        different = {key: value for key, value in plain.items() if shared.get(key) != value}
        drafts.append(Draft(different, group_key(plain, wish.size), wish.note, wish.expect))
        if len(drafts) > limit:
            told = "split it, or raise BATCH_MAX_ITEMS where the service runs"
            raise UsageError(f"a job of more than {limit} items", told)
    if not drafts:
        raise UsageError("a job without items", "give at least one")
    made = write_items(drafts)
    return Prepared(shared, made.lines, made.items_index, made.shards_index, len(drafts), made.shards)


def write_job(files: Files, root: Path, spec: JobSpec, prepared: Prepared) -> bool:
    """Write a job's folder under a hidden name, then give it its own; return False where that is taken."""
    hidden = JobFolder(root / f".{spec.job_id}.{secrets.token_hex(4)}.tmp")
    try:
        if prepared.lines:
            files.write(hidden.items, prepared.lines)
            files.write(hidden.items_index, prepared.items_index)
            files.write(hidden.shards_index, prepared.shards_index)
        files.write(hidden.spec, spec.data())
        parts = (hidden.items, hidden.items_index, hidden.shards_index, hidden.spec)
        if spec.queue == "batch":
            files.flush((*parts, hidden.path))
        made = files.publish(hidden.path, root / spec.job_id)
        if spec.queue == "batch":
            files.flush((root,))
        return made
    finally:
        shutil.rmtree(hidden.path, ignore_errors=True)


def _singles(wishes: Iterable[Wish], wildcards: Path | None) -> Iterator[tuple[Wish, GenerationRequest]]:
    for wish in wishes:
        for single in wish.request.seeded().singles():
            yield wish, single if wildcards is None else settle(single, wildcards)
