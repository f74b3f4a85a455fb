"""Aliases and implications: which tags are one tag, and which say what another says already.

Implications come from two places: tables (ours, and a user's own in the same JSON, or Danbooru's exports as
CSV with the columns antecedent_name and consequent_name), and the words themselves: a tag is implied by one
that ends with its words ("long hair" by "very long hair", "bow" by "hair bow"). Whole words are compared, and
only at the end: "hat" is not said by "chat", "cat" not by "cat ears", "eye" not by "hair over eye".
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from charaforge.errors import ConfigError, UsageError
from charaforge.perception.tag_names import spaced

_NEGATIONS = frozenset({"no", "without", "un", "non", "fake", "anti"})
_LINKS = frozenset(
    {
        "over",
        "on",
        "in",
        "between",
        "under",
        "behind",
        "of",
        "at",
        "with",
        "from",
        "to",
        "and",
        "as",
        "around",
    }
)
_CSV = ("antecedent_name", "consequent_name")


@dataclass(frozen=True)
class Vocabulary:
    """What is known about tags.

    Attributes:
        aliases: tag -> the tag that is used instead.
        implications: tag -> tags that it says too.
    """

    aliases: Mapping[str, str]
    implications: Mapping[str, tuple[str, ...]]

    def canonical(self, tag: str) -> str:
        """Return the tag that is used instead of another; chains are followed, circles end."""
        seen = {tag}
        while (target := self.aliases.get(tag, tag)) not in seen:
            seen.add(target)
            tag = target
        return tag

    def implied(self, tag: str) -> set[str]:
        """Return all tags that the tables say a tag implies, also over several steps; never itself."""
        found: set[str] = set()
        waiting = [tag]
        while waiting:
            for target in self.implications.get(waiting.pop(), ()):
                if target not in found:
                    found.add(target)
                    waiting.append(target)
        return found - {tag}

    def without_implied(self, tags: Iterable[str]) -> list[str]:
        """Return the tags that no other one says already, in their order; of those in a circle the first."""
        given = list(dict.fromkeys(tags))
        implied = {tag: self.implied(tag) for tag in given}
        kept: list[str] = []
        for place, tag in enumerate(given):
            others = [*kept, *(later for later in given[place + 1 :] if later not in implied[tag])]
            if not any(tag in implied[other] or ends_with(other, tag) for other in others):
                kept.append(tag)
        return kept


def ends_with(longer: str, tag: str) -> bool:
    """Return whether a tag ends with the words of another, and so says the same more exactly."""
    words, last = longer.split(), tag.split()
    if not last or len(words) <= len(last) or words[-len(last) :] != last:
        return False
    before = words[: -len(last)]
    return before[0] not in _NEGATIONS and _LINKS.isdisjoint(before) and not tag.startswith("(")


def load_vocabulary(extra: Path | None = None) -> Vocabulary:
    """Return our own vocabulary, with a user's on top.

    Raises:
        UsageError: the user's file cannot be read.
        ConfigError: it is of another format.
    """
    ours = (
        resources.files("charaforge.curation.tagging").joinpath("vocabulary.json").read_text(encoding="utf-8")
    )
    base = _parsed(json.loads(ours), "vocabulary.json")
    if extra is None:
        return base
    try:
        text = extra.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {extra}: {error}", "give a JSON or CSV file") from error
    own = _from_csv(text, extra) if extra.suffix.lower() == ".csv" else _from_json(text, extra)
    return Vocabulary({**base.aliases, **own.aliases}, {**base.implications, **own.implications})


def canonical_scores(scores: Mapping[str, float], vocabulary: Vocabulary) -> dict[str, float]:
    """Return scores with aliases resolved; of two names for one tag the higher score stays."""
    found: dict[str, float] = {}
    for tag, score in scores.items():
        name = vocabulary.canonical(tag)
        found[name] = max(score, found.get(name, 0.0))
    return found


def _from_json(text: str, file: Path) -> Vocabulary:
    try:
        return _parsed(json.loads(text), str(file))
    except ValueError as error:
        raise ConfigError(str(file), [f"not valid JSON: {error}"]) from error


def _from_csv(text: str, file: Path) -> Vocabulary:
    found: dict[str, list[str]] = {}
    reader = csv.DictReader(text.splitlines())
    if not set(_CSV) <= set(reader.fieldnames or ()):
        raise ConfigError(str(file), [f"it needs the columns {', '.join(_CSV)}"])
    for row in reader:
        found.setdefault(spaced(row[_CSV[0]] or ""), []).append(spaced(row[_CSV[1]] or ""))
    return Vocabulary({}, {tag: tuple(targets) for tag, targets in found.items()})


def _parsed(value: object, source: str) -> Vocabulary:
    parts = value if isinstance(value, dict) else {}
    aliases, implications = parts.get("aliases", {}), parts.get("implications", {})
    unknown = [f"unknown key {key!r}" for key in parts if key not in ("aliases", "implications")]
    faults = [] if isinstance(value, dict) else ["not a mapping with aliases and implications"]
    if not _texts(aliases):
        faults.append('aliases: {"tag": "tag used instead", …} is needed')
    if not isinstance(implications, dict) or not all(
        isinstance(told, list) for told in implications.values()
    ):
        faults.append('implications: {"tag": ["tag that it says too", …], …} is needed')
    if faults or unknown:
        raise ConfigError(source, [*faults, *unknown])
    return Vocabulary(
        {spaced(tag): spaced(target) for tag, target in aliases.items()},
        {spaced(tag): tuple(spaced(str(one)) for one in told) for tag, told in implications.items()},
    )


def _texts(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(one, str) for one in value.values())
