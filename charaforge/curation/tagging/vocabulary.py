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
from dataclasses import dataclass, field
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
    _said: dict[str, frozenset[str]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def canonical(self, tag: str) -> str:
        """Return the tag that is used instead of another; chains are followed, circles end."""
        seen = {tag}
        while (target := self.aliases.get(tag, tag)) not in seen:
            seen.add(target)
            tag = target
        return tag

    def said(self, tag: str) -> frozenset[str]:
        """Return all tags that a tag says already, by tables and by its words, over any number of steps."""
        if tag not in self._said:
            found: set[str] = set()
            waiting = [tag]
            while waiting:
                one = waiting.pop()
                fresh = {*self.implications.get(one, ()), *endings(one)} - found
                found |= fresh
                waiting += fresh
            self._said[tag] = frozenset(found - {tag})
        return self._said[tag]

    def without_implied(self, tags: Iterable[str]) -> list[str]:
        """Return the tags that no other one says already, in order; of those in a circle the first."""
        place = {tag: index for index, tag in enumerate(dict.fromkeys(tags))}
        dropped = set()
        for teller, index in place.items():
            for told in self.said(teller) & place.keys():
                if teller not in self.said(told) or index < place[told]:
                    dropped.add(told)
        return [tag for tag in place if tag not in dropped]


def endings(tag: str) -> list[str]:
    """Return what a tag's last words say: "very long hair" says "long hair" and "hair"."""
    words = tag.split()
    found = []
    for start in range(1, len(words)):
        if words[start - 1] in _LINKS or words[0] in _NEGATIONS or words[start].startswith("("):
            break
        found.append(" ".join(words[start:]))
    return found


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
    if vocabulary.aliases.keys().isdisjoint(scores):
        return dict(scores)
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
