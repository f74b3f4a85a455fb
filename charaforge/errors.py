"""Every error that CharaForge raises on purpose, and the exit codes that they become.

CharaForgeError                 exit 1  something went wrong while working
├── UsageError                  exit 2  what was asked for cannot be done as asked
│   ├── UnknownNameError                a name that nobody knows; carries the nearest valid ones
│   ├── ConfigError                     a configuration with one or more faults, all of them listed
│   ├── PromptError                     a prompt that cannot be read, or asks for what is not offered
│   └── JobConflictError                a job's name is taken, or its state does not allow what was asked
├── NotMeasurableError          exit 3  too little data, or no tool, to measure what was asked
├── WarehouseError              exit 1  the shared warehouse cannot be used
├── ModelFileError              exit 1  a model file is missing, broken, of another family, or a pickle
├── DatasetError                exit 1  a dataset has nothing usable in it
│   └── PictureError                    one picture cannot be read; becomes a row with this reason
├── GenerationError             exit 1  pictures could not be rendered
│   └── BlockedError                    a picture that the safety filter does not let through
└── ServiceError                exit 1  the REST service refused, or could not be reached

A message says what happened and with which value; the hint says what to do about it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """What every command of CharaForge returns to the shell."""

    PASS = 0
    FAULT = 1
    USAGE = 2
    NOT_MEASURABLE = 3
    FAILED = 4  # measured, and below the bar


class CharaForgeError(Exception):
    """Base of all errors that a user is meant to read.

    Args:
        message: what happened, with the value that caused it.
        hint: what to do about it; empty where nothing can be said.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.FAULT
    slug: ClassVar[str] = "fault"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message

    @property
    def sentence(self) -> str:
        """Message and hint in one line."""
        return f"{self.message}; {self.hint}" if self.hint else self.message


class UsageError(CharaForgeError):
    """The request itself is at fault."""

    exit_code = ExitCode.USAGE
    slug = "usage"


class UnknownNameError(UsageError):
    """A name that is not among the valid ones.

    Args:
        kind: what the name stands for, e.g. "model", "scheduler".
        name: the name that was asked for.
        candidates: all valid names; the nearest are put into the hint.
        hint: what else to do, said after the nearest names.
    """

    slug = "unknown-name"

    def __init__(self, kind: str, name: str, candidates: Iterable[str], hint: str = "") -> None:
        self.kind = kind
        self.name = name
        self.candidates = sorted(set(candidates))
        told = [suggestion(name, self.candidates), hint]
        super().__init__(f"unknown {kind} {name!r}", "; ".join(part for part in told if part))


class ConfigError(UsageError):
    """A configuration that does not hold together.

    Args:
        source: where it came from, e.g. a file name.
        faults: one line per fault, each with the key and the value.
    """

    slug = "config"

    def __init__(self, source: str, faults: Sequence[str]) -> None:
        self.source = source
        self.faults = list(faults)
        count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        super().__init__("\n  - ".join([f"{source}: {count}", *self.faults]))


class PromptError(UsageError):
    """A prompt that cannot be read, or uses a syntax that is not offered."""

    slug = "prompt"


class JobConflictError(UsageError):
    """A job of that name is another one, or its state does not allow what was asked for."""

    slug = "job-conflict"


class NotMeasurableError(CharaForgeError):
    """There is too little to measure what was asked for."""

    exit_code = ExitCode.NOT_MEASURABLE
    slug = "not-measurable"


class WarehouseError(CharaForgeError):
    """The warehouse (`AI_CACHE_ROOT`) cannot be used."""

    slug = "warehouse"


class ModelFileError(CharaForgeError):
    """A model file is missing, broken, of another family, or of a refused format."""

    slug = "model-file"


class DatasetError(CharaForgeError):
    """A dataset, or a picture of it, cannot be used."""

    slug = "dataset"


class PictureError(DatasetError):
    """One picture cannot be read, for the reason that the message gives."""

    slug = "picture"


class GenerationError(CharaForgeError):
    """Pictures could not be rendered."""

    slug = "generation"


class ServiceError(CharaForgeError):
    """The REST service refused a call, or could not be reached.

    Args:
        message: what happened.
        hint: what to do about it.
        status: HTTP status; 0 = it was not reached.
        kind: kind of problem, e.g. "unknown-name".
    """

    slug = "service"

    def __init__(self, message: str, hint: str = "", status: int = 0, kind: str = "") -> None:
        super().__init__(message, hint)
        self.status = status
        self.kind = kind


class BlockedError(GenerationError):
    """A picture shows what the safety filter does not let through; it is not written."""

    slug = "blocked"


def nearest_names(name: str, candidates: Iterable[str], limit: int = 3) -> list[str]:
    """Return the valid names most like `name`, best first; case, `-`, `_` and spaces do not count.

    Args:
        name: the name as it was written.
        candidates: valid names.
        limit: how many to return at most.
    """
    folded = {_fold(candidate): candidate for candidate in candidates}
    close = difflib.get_close_matches(_fold(name), folded, n=limit, cutoff=0.5)
    return [folded[key] for key in close]


def suggestion(name: str, candidates: Sequence[str], limit: int = 8) -> str:
    """Return a hint: the nearest valid name, else the valid ones (at most `limit`), else ""."""
    near = nearest_names(name, candidates)
    if near:
        return f"did you mean {near[0]!r}?" + (f" (or {', '.join(near[1:])})" if near[1:] else "")
    if not candidates:
        return ""
    more = f" and {len(candidates) - limit} more" if len(candidates) > limit else ""
    return f"valid: {', '.join(candidates[:limit])}{more}"


def _fold(name: str) -> str:
    return name.casefold().replace("-", "").replace("_", "").replace(" ", "")
