from __future__ import annotations

import numpy as np
import pytest

from charaforge.curation.tagging.calibration import calibrate
from charaforge.curation.tagging.ensemble import KnownTagger, calibrated, logit
from charaforge.errors import NotMeasurableError

TAGGER = KnownTagger("t", {"a": 0, "b": 0, "never": 0}, {})


def test_a_known_distortion_is_found_again() -> None:
    rng = np.random.default_rng(0)
    known = []
    for _ in range(4000):
        true = rng.uniform(0.1, 0.9, 2)  # probability that the tag is right
        words = [tag for tag, p in zip("ab", true, strict=True) if rng.random() < p]
        told = [1 / (1 + np.exp(-(logit(float(p)) + 1.2) / 1.6)) for p in true]  # a generous, timid tagger
        known.append((dict(zip("ab", told, strict=True)), words))
    slope, offset = calibrate(TAGGER, known)
    assert slope == pytest.approx(1.6, abs=0.1)
    assert offset == pytest.approx(-1.2, abs=0.1)
    assert calibrated(1 / (1 + np.exp(-1.2 / 1.6)), slope, offset) == pytest.approx(0.5, abs=0.03)


def test_words_that_the_tagger_does_not_know_do_not_count() -> None:
    known = [({"a": 0.9}, ["a", "unheard of"])] * 60 + [({"a": 0.1}, ["unheard of"])] * 60
    slope, offset = calibrate(TAGGER, known)
    assert calibrated(0.9, slope, offset) > 0.9
    assert calibrated(0.1, slope, offset) < 0.1


def test_too_little_is_told() -> None:
    with pytest.raises(NotMeasurableError, match="0 to be wrong, at least 50"):
        calibrate(TAGGER, [({"a": 0.9}, ["a"])] * 60)
