from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from charaforge.curation.tagging.score_text import packed, unpacked

TAGS = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), min_size=1)
SCORES = st.dictionaries(TAGS, st.floats(0.05, 1).map(lambda p: round(p, 4)))


@given(SCORES)
def test_scores_come_back(scores: dict[str, float]) -> None:
    assert unpacked(packed(scores)) == scores


def test_emoticons_may_hold_the_sign() -> None:
    assert packed({"=_=": 0.5, "blue hair": 0.98124}) == "blue hair=0.9812\n=_==0.5"
    assert unpacked("=_==0.5") == {"=_=": 0.5}
    first, second = (next(iter(unpacked("".join(["blue", " hair=0.5"])))) for _ in range(2))
    assert first is second
