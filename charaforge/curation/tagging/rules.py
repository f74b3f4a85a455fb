"""What turns probabilities into tags: thresholds, merging, pruning; all of it can be changed afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from charaforge.config.model import StrictModel

FLOOR = 0.05
"""Probabilities below it are not kept."""


class Thresholds(StrictModel):
    """Least probabilities (exclusive) of one tagger, from the floor to 1."""

    general: float = Field(0.35, ge=FLOOR, lt=1, description="general tags")
    character: float = Field(0.85, ge=FLOOR, lt=1, description="names of characters")
    tags: dict[str, Annotated[float, Field(ge=FLOOR, lt=1)]] = Field(
        {}, description="single tags, by their name with spaces"
    )


class TaggerRules(StrictModel):
    """How one tagger is taken."""

    thresholds: Thresholds | None = Field(None, description="its own [default: those of all taggers]")
    weight: float = Field(1.0, gt=0, description="weight in the mean")
    slope: float | None = Field(None, gt=0, description="calibration: p = sigmoid(slope * logit + offset)")
    offset: float | None = Field(None, description="calibration; `charaforge tag --calibrate` finds both")


class TraitRules(StrictModel):
    """Which tags belong to the character rather than to the picture."""

    prune: bool = Field(False, description="leave traits out of the tags; the trigger word stands for them")
    frequency: float = Field(0.8, gt=0, le=1, description="least share of the character's pictures")
    lift: float = Field(1.3, ge=1, description="least ratio to the share in other pictures")
    fewest: int = Field(5, ge=2, description="with fewer pictures of a character nothing is left out")
    keep: tuple[str, ...] = Field((), description="tags that are never taken for traits")


class TaggingRules(StrictModel):
    """Everything that is decided after the taggers have looked."""

    thresholds: Thresholds = Field(Thresholds(), description="of every tagger without its own")
    taggers: dict[str, TaggerRules] = Field({}, description="by registry name")
    merge: Literal["mean", "votes"] = Field("mean", description="calibrated mean, or k of n taggers")
    votes: int | None = Field(
        None, ge=1, description="k [default: more than half of those that know the tag]"
    )
    character_tags: bool = Field(False, description="put names of characters in front of the tags")
    sidecars: Literal["keep", "ignore"] = Field("keep", description="words that lie beside the pictures")
    prune_implied: bool = Field(True, description="leave out tags that another tag says already")
    vocabulary: Path | None = Field(None, description="JSON with aliases and implications beside ours")
    drop: tuple[str, ...] = Field((), description="tags that are always left out")
    traits: TraitRules = Field(TraitRules(), description="pruning of traits")

    def thresholds_of(self, tagger: str) -> Thresholds:
        """Return the thresholds of a tagger."""
        own = self.taggers.get(tagger)
        return own.thresholds if own and own.thresholds else self.thresholds
