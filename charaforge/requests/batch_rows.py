"""Rows of a batch into requests for single pictures, everything in them checked before any is queued.

What most rows share is built once: only words and seeds are looked at row by row.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Protocol

from pydantic import ValidationError

from charaforge.config.model import fault_lines
from charaforge.config.settings import default_model
from charaforge.errors import CharaForgeError
from charaforge.requests.batch_columns import ALIASES, IGNORED, NOTE, WORDS, CellFault, Parts, parts_of
from charaforge.requests.batch_faults import Faults
from charaforge.requests.batch_seeds import seeds_of, whole_number
from charaforge.requests.generation import MAX_SEED, GenerationRequest, PictureRequest
from charaforge.requests.inputs import LANCZOS, LATENT_UPSCALE
from charaforge.requests.prompts import settle

_TEMPLATES = 4096
_SIGNS = ("{", "__", "<")


class Names(Protocol):
    """What requests may name: models, files, wildcards."""

    @property
    def wildcards(self) -> Path:
        """Folder of the wildcard files."""

    def family(self, kind: str, name: str) -> str:
        """Return the family of a model; "" = it does not matter.

        Raises:
            CharaForgeError: there is no such model, with the nearest names; or it cannot be used.
        """

    def file(self, told: str, json_too: bool) -> str:
        """Return the absolute path that an upload id or a path stands for.

        Raises:
            UsageError: there is no such file, or it may not be read.
        """


@dataclass(frozen=True)
class BatchItem:
    """One picture that is asked for.

    Attributes:
        request: for one picture, its seed and its wildcards drawn.
        note: what its sidecar shall say beside: the row that it came from.
    """

    request: GenerationRequest
    note: Mapping[str, Any]


@dataclass
class Reader:
    """Turns rows into items.

    Args:
        names: what requests may name.
        faults: where faults go.
        limit: how many items there may be; the first one beyond is not made.
    """

    names: Names
    faults: Faults
    limit: int
    count: int = 0
    _templates: dict[str, GenerationRequest] = field(default_factory=dict)

    def items(self, row: int, cells: Mapping[str, Any]) -> Iterator[BatchItem]:
        """Yield the items of a row; its faults are added to the others.

        Args:
            row: its number.
            cells: column -> value, empty ones left out.
        """
        found: list[BatchItem] = []
        before = self.faults.count
        template = self._template(row, cells)
        words = self._words(row, cells)
        seeds = self._try(row, cells, "seed", lambda: list(seeds_of(cells.get("seed"), self._room())))
        note = self._try(row, cells, NOTE, lambda: _note(row, cells))
        if template is None or words is None or seeds is None or note is None:
            return
        self.count += len(seeds) * template.count
        if self.count > self.limit:
            return
        for seed in seeds:
            for single in self._singles(row, cells, template.model_copy(update={**words, "seed": seed})):
                found.append(BatchItem(single, note))
        if self.faults.count == before:
            yield from found

    def _room(self) -> int:
        return max(0, self.limit - self.count) + 1

    def _singles(
        self, row: int, cells: Mapping[str, Any], whole: GenerationRequest
    ) -> Iterator[GenerationRequest]:
        whole = whole.seeded()
        if whole.seed + whole.count - 1 > MAX_SEED:
            self._refuse(row, cells, "seed", f"seed + count - 1 is above {MAX_SEED}")
            return
        for single in whole.singles() if whole.count > 1 else (whole,):
            if not any(sign in single.prompt or sign in single.negative for sign in _SIGNS):
                yield single
                continue
            settled = self._try(row, cells, "prompt", lambda one=single: self._settled(one))  # type: ignore[misc]
            if settled is not None:
                yield settled

    def _settled(self, single: GenerationRequest) -> GenerationRequest:
        settled = settle(single, self.names.wildcards)
        for use in settled.loras:
            if use not in single.loras:
                self._check_lora(use.name, settled.model)
        return settled

    def _words(self, row: int, cells: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the checked words of a row; None where they have faults."""
        told: dict[str, Any] = {}
        for column in ("prompt", "negative"):
            value = cells.get(column, cells.get("negative_prompt", "") if column == "negative" else "")
            message = _text_fault(value) if isinstance(value, str) else f"is no text, got {value!r}"
            if not message and column == "prompt" and not value.strip():
                message = "is empty; say what to show"
            if message:
                self._refuse(row, cells, column, message)
                return None
            told[column] = value
        if "wildcard_seed" in cells:
            chosen = self._try(
                row, cells, "wildcard_seed", lambda: whole_number(cells["wildcard_seed"], 0, "wildcard_seed")
            )
            if chosen is None:
                return None
            told["wildcard_seed"] = chosen
        return told

    def _template(self, row: int, cells: Mapping[str, Any]) -> GenerationRequest | None:
        """Return the request of a row without its words; None where it has faults."""
        rest = {name: value for name, value in cells.items() if name not in (*WORDS, NOTE, IGNORED)}
        rest.pop("negative_prompt", None)
        key = repr(rest)
        known = self._templates.get(key)
        if known is None:
            known = self._built(row, cells, rest)
            if known is not None:
                if len(self._templates) >= _TEMPLATES:
                    self._templates.clear()
                self._templates[key] = known
        return known

    def _built(self, row: int, cells: Mapping[str, Any], rest: Mapping[str, Any]) -> GenerationRequest | None:
        """Return the same, built and checked in every part; all of its faults are told."""
        try:
            parts = parts_of(rest)
        except CellFault as fault:
            self._refuse(row, cells, fault.column, fault.message)
            return None
        found: dict[str, str] = {}
        made: GenerationRequest | None = None
        told = {**parts.told, **parts.located(self._file(found)), "prompt": "x", "seed": 0}
        try:
            made = GenerationRequest.model_validate(told)
        except ValidationError as error:
            lines = fault_lines(error, GenerationRequest)
            for wrong, line in zip(error.errors(include_url=False), lines, strict=True):
                found.setdefault(parts.column_of(wrong["loc"]), _without_key(line) if wrong["loc"] else line)
        for column, check in self._named(parts):
            if column not in found:
                found |= _faults_of(column, check)
        for column, message in found.items():
            self._refuse(row, cells, column, message)
        return None if found else made

    def _file(self, found: dict[str, str]) -> Callable[[str, str, bool], str]:
        """Return what finds a file that a column names; where it cannot, it says so in `found`."""

        def find(column: str, told: str, json_too: bool) -> str:
            try:
                return self.names.file(told, json_too)
            except CharaForgeError as error:
                found.setdefault(column, error.sentence)
                return told

        return find

    def _named(self, parts: Parts) -> Iterator[tuple[str, Callable[[], object]]]:
        """Yield the column and the check of everything that is named and has to be there."""
        family, told = self.names.family, parts.told
        model = str(told.get("model") or default_model())
        yield "model", partial(family, "base", model)
        if "vae" in told:
            yield "vae", partial(family, "vae", str(told["vae"]))
        for use in told.get("loras", ()):
            yield parts.column_of(("loras",)), partial(self._check_lora, str(use.get("name")), model)
        upscaler = (told.get("hires") or {}).get("upscaler", LATENT_UPSCALE)
        if upscaler not in (LATENT_UPSCALE, LANCZOS):
            yield parts.column_of(("hires", "upscaler")), partial(family, "upscaler", str(upscaler))
        for field_name, kind in (("controls", "controlnet"), ("references", "ipadapter")):
            for use in told.get(field_name, ()):
                if isinstance(use, Mapping) and use.get("model") is not None:
                    column = parts.column_of((field_name, 0, "model"))
                    yield column, partial(family, kind, str(use["model"]))

    def _check_lora(self, name: str, model: str) -> None:
        """Raise where a LoRA is not there, or was made for another family than the model's."""
        family = self.names.family("lora", name)
        try:
            base = self.names.family("base", model)
        except CharaForgeError:
            return  # told for the column that names the model
        if family and base and family != base:
            told = f"the LoRA {name} was made for {family}, {model} is {base}"
            raise CharaForgeError(told, "name a model that fits")

    def _try(self, row: int, cells: Mapping[str, Any], column: str, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except CharaForgeError as error:
            self._refuse(row, cells, column, error.sentence)
        except CellFault as fault:
            self._refuse(row, cells, fault.column or column, fault.message)
        return None

    def _refuse(self, row: int, cells: Mapping[str, Any], column: str, message: str) -> None:
        told = next((name for name, own in ALIASES.items() if own == column and name in cells), column)
        self.faults.refuse(row, cells, told, message)


@lru_cache(maxsize=8192)
def _text_fault(text: str) -> str:
    """Return what is wrong with a prompt; "" = nothing."""
    try:
        PictureRequest(prompt=text, model="x")
    except ValidationError as error:
        return "; ".join(_without_key(line) for line in fault_lines(error, PictureRequest))
    return ""


def _note(row: int, cells: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the sidecars of a row say beside; raise where JSON cannot."""
    note = {"row": row, **({NOTE: cells[NOTE]} if NOTE in cells else {})}
    try:
        json.dumps(note, allow_nan=False, ensure_ascii=False).encode()
    except ValueError:
        raise CellFault(NOTE, "holds a number or text that JSON does not have") from None
    return note


def _faults_of(column: str, check: Callable[[], object]) -> dict[str, str]:
    try:
        check()
    except CharaForgeError as error:
        return {column: error.sentence}
    return {}


def _without_key(line: str) -> str:
    """Return a fault without the key before it and the value behind it: a row's faults name the column."""
    if line.startswith("unknown key"):
        return line
    return line.partition(": ")[2].rpartition(", got ")[0] or line
