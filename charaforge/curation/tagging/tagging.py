"""The tagging stage: every tagger's probabilities are kept, and made into tags afterwards.

What a tagger says of a content is remembered whole, down to a probability of 0.05; thresholds, merging and
pruning come after it, so that other rules need no second look at the pictures.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from PIL import Image

from charaforge.curation.pictures import Picture, shown
from charaforge.curation.stage import Row, Stage
from charaforge.curation.table import absolute, write_csv, write_stage
from charaforge.curation.tagging.ensemble import Ensemble, KnownTagger
from charaforge.curation.tagging.rules import FLOOR, TaggingRules
from charaforge.curation.tagging.score_text import packed, unpacked
from charaforge.curation.tagging.sidecars import SOURCE, write_sidecars
from charaforge.curation.tagging.subjects import Subject
from charaforge.curation.tagging.traits import Trait, find_traits
from charaforge.curation.tagging.vocabulary import Vocabulary, canonical_scores, load_vocabulary
from charaforge.errors import UnknownNameError
from charaforge.perception.opening import Opened
from charaforge.perception.tag_net import TagNet

NAME = "tag"
COLUMNS = ("path", "sha256", "error", "character", "tags", "character_tags", "rating", "traits")
"""Columns of the flat view; the table has tag_scores beside them."""
_SHOWN = 30

Tagger = Opened[TagNet]


@dataclass(frozen=True)
class Tagged:
    """What the rules made of one picture.

    Attributes:
        subject: the picture.
        tags: what is written, without traits.
        characters: names of characters that were given, the surest first.
        rating: the most probable rating, or "".
        kept: tags that lay beside the picture and were taken over.
        traits: tags of the picture that belong to its character.
    """

    subject: Subject
    tags: tuple[str, ...]
    characters: tuple[str, ...]
    rating: str
    kept: tuple[str, ...] = ()
    traits: tuple[str, ...] = ()


@dataclass
class Decision:
    """What the rules made of all pictures.

    Attributes:
        tagged: by path; pictures with errors are absent.
        traits: character -> its traits.
        untold: characters with too few pictures to tell traits from the rest.
    """

    tagged: dict[Path, Tagged] = field(default_factory=dict)
    traits: dict[str, list[Trait]] = field(default_factory=dict)
    untold: list[str] = field(default_factory=list)


def tag_stage(tagger: Tagger) -> Stage:
    """Return the stage of one tagger; its rows hold "scores": probabilities from 0.05 on, packed."""

    def work(pictures: list[Picture]) -> list[Row]:
        found = tagger.net.tag([Image.fromarray(picture.rgb) for picture in pictures])
        columns = [(row >= FLOOR).nonzero()[0].tolist() for row in found.probabilities]
        scores = [
            {found.names[column]: float(row[column]) for column in kept}
            for row, kept in zip(found.probabilities, columns, strict=True)
        ]
        return [{"scores": packed(one)} for one in scores]

    table = "\n".join(tagger.net.names)
    parameters = {
        "floor": FLOOR,
        "preproc_id": tagger.preproc_id,
        "tags": hashlib.sha256(table.encode()).hexdigest(),
    }
    return Stage(NAME, work, parameters, tagger.sha256, padded=True)


def known(tagger: Tagger, vocabulary: Vocabulary) -> KnownTagger:
    """Return what a tagger is able to say, under the names that are used."""
    table = tagger.net.table
    most = max(table.counts, default=0)
    names = [vocabulary.canonical(name) for name in table.names]
    shares = {name: count / most for name, count in zip(names, table.counts, strict=True)} if most else {}
    return KnownTagger(tagger.name, dict(zip(names, table.categories, strict=True)), shares)


def decide(
    subjects: Sequence[Subject],
    rows: Sequence[Mapping[Path, Row]],
    taggers: Sequence[Tagger],
    rules: TaggingRules,
) -> Decision:
    """Apply the rules.

    Args:
        subjects: the pictures.
        rows: what `run_stages` gave, one mapping per tagger.
        taggers: in the order of `rows`.
        rules: thresholds, merging, pruning.

    Raises:
        UnknownNameError: the rules name a tagger that was not asked.
    """
    unknown = sorted(set(rules.taggers) - {tagger.name for tagger in taggers})
    if unknown:
        raise UnknownNameError("tagger in the rules", unknown[0], [tagger.name for tagger in taggers])
    vocabulary = load_vocabulary(rules.vocabulary)
    able = [known(tagger, vocabulary) for tagger in taggers]
    ensemble = Ensemble(able, rules)
    decision = Decision()
    for one in subjects:
        path = one.found.path
        told = [row.get(path) for row in rows]
        if not any(row is None or row["error"] for row in told):
            scores = _scores(taggers, told)
            decision.tagged[path] = _tagged(one, scores, ensemble, rules, vocabulary)
    if rules.traits.prune:
        _prune_traits(decision, able, rules)
    return decision


def finish(
    dataset: Path,
    subjects: Sequence[Subject],
    rows: Sequence[Mapping[Path, Row]],
    taggers: Sequence[Tagger],
    rules: TaggingRules,
    captions: bool = True,
) -> Path:
    """Decide; write `<dataset>/tag.parquet`, `tag.csv` and, if wanted, `captions/`; return the table."""
    decision = decide(subjects, rows, taggers, rules)
    table: dict[Path, Row] = {}
    for one in subjects:
        path = one.found.path
        given = [row.get(path) or {"sha256": "", "error": one.found.error} for row in rows]
        error = next((row["error"] for row in given if row["error"]), "")
        table[path] = {"sha256": given[0]["sha256"], "error": error, "character": one.character}
        if path in decision.tagged:
            table[path] |= _columns(decision.tagged[path], _scores(taggers, given))
    file = write_stage(dataset, NAME, table, _summary(decision, taggers, rules))
    write_csv(
        dataset / f"{NAME}.csv",
        [{"path": shown(absolute(path)), **row} for path, row in table.items()],
        COLUMNS,
    )
    if captions and decision.tagged:
        write_sidecars({path: _caption(one) for path, one in decision.tagged.items()}, dataset / "captions")
    return file


def _tagged(
    subject: Subject,
    scores: Mapping[str, Mapping[str, float]],
    ensemble: Ensemble,
    rules: TaggingRules,
    vocabulary: Vocabulary,
) -> Tagged:
    named = {tagger: canonical_scores(told, vocabulary) for tagger, told in scores.items()}
    merged = ensemble.merge(named)
    words = [vocabulary.canonical(word) for word in subject.words if word != subject.character]
    kept = words if rules.sidecars == "keep" else []
    tags = [*(merged.characters if rules.character_tags else ()), *kept, *merged.general]
    chosen = [tag for tag in dict.fromkeys(tags) if tag not in rules.drop]
    if rules.prune_implied:
        chosen = vocabulary.without_implied(chosen)
    return Tagged(subject, tuple(chosen), tuple(merged.characters), merged.rating, tuple(kept))


def _scores(taggers: Sequence[Tagger], rows: Sequence[Row | None]) -> dict[str, dict[str, float]]:
    """Return what the taggers gave for one picture: tagger -> tag -> probability."""
    return {tagger.name: unpacked(row["scores"]) for tagger, row in zip(taggers, rows, strict=True) if row}


def _prune_traits(decision: Decision, taggers: Sequence[KnownTagger], rules: TaggingRules) -> None:
    """Take the traits of each character out of the tags of its pictures."""
    shares: dict[str, float] = {}
    for tagger in taggers:
        for tag, share in tagger.shares.items():
            shares[tag] = max(share, shares.get(tag, 0.0))
    pictures = [(one.subject.character, one.tags) for one in decision.tagged.values()]
    decision.traits = find_traits(pictures, shares, rules.traits)
    decision.untold = sorted({character for character, _ in pictures if character} - decision.traits.keys())
    for path, one in decision.tagged.items():
        own = {trait.tag for trait in decision.traits.get(one.subject.character, ())}
        tags = tuple(tag for tag in one.tags if tag not in own)
        traits = tuple(tag for tag in one.tags if tag in own)
        decision.tagged[path] = replace(one, tags=tags, traits=traits)


def _columns(one: Tagged, scores: Mapping[str, Mapping[str, float]]) -> Row:
    beside = {SOURCE: dict.fromkeys(one.kept, 1.0)} if one.kept else {}
    return {
        "tags": ", ".join(one.tags),
        "character_tags": ", ".join(one.characters),
        "rating": one.rating,
        "traits": ", ".join(one.traits),
        "tag_scores": json.dumps({**scores, **beside}, ensure_ascii=False, separators=(",", ":")),
    }


def _caption(one: Tagged) -> str:
    """Return the caption as kohya's scripts read it: the word for the character, then the tags."""
    return ", ".join([*filter(None, [one.subject.character]), *one.tags])


def _summary(decision: Decision, taggers: Sequence[Tagger], rules: TaggingRules) -> dict[str, Any]:
    """Return what `summary.json` tells of the stage."""
    tags = Counter(tag for one in decision.tagged.values() for tag in one.tags)
    ratings = Counter(one.rating for one in decision.tagged.values() if one.rating)
    traits = {
        character: [{"tag": t.tag, "frequency": t.frequency, "lift": t.lift} for t in found]
        for character, found in decision.traits.items()
    }
    return {
        "models": [tagger.told for tagger in taggers],
        "rules": rules.model_dump(mode="json"),
        "tags_per_picture": round(tags.total() / max(len(decision.tagged), 1), 2),
        "untagged": sum(not one.tags for one in decision.tagged.values()),
        "most_frequent": dict(tags.most_common(_SHOWN)),
        "ratings": dict(ratings.most_common()),
        "traits": traits,
        "too_few_pictures_for_traits": decision.untold,
    }
