"""Characters that the judge cannot tell apart are no impostors of each other."""

import numpy as np

from charaforge.evaluation.identity import Embeddings, leave_one_out
from charaforge.evaluation.impostors import Impostors
from charaforge.evaluation.twins import MOST_TWINS, twins_among, without


def around(direction: int, count: int, seed: int) -> Embeddings:
    """Pictures of one character: its direction, and a little of all others."""
    found = np.random.default_rng(seed).normal(0, 0.05, (count, 16))
    found[:, direction] += 1
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return np.asarray(found, np.float32)


TRAITS = ("blue hair", "long hair", "red eyes")
REFERENCES = around(0, 12, 1)
OWN = leave_one_out(REFERENCES)


def pack(*traits: str, **characters: Embeddings) -> Impostors:
    names = tuple(name for name, rows in characters.items() for _ in rows)
    worn = (frozenset(traits or TRAITS),) * len(names)
    return Impostors("real", np.concatenate([*characters.values()]), names, worn)


def test_the_same_character_under_another_name_is_a_twin() -> None:
    known = pack(stranger=around(1, 5, 2), again=REFERENCES[::2], hidden=around(0, 2, 4))
    assert twins_among([known], TRAITS, REFERENCES, OWN) == ("again",), "of two pictures one knows too little"


def test_a_lookalike_is_none() -> None:
    lookalike = around(0, 5, 5)
    lookalike[:, 1] += 0.5
    lookalike /= np.linalg.norm(lookalike, axis=1, keepdims=True)
    assert np.median(lookalike @ REFERENCES.T) > 0.8, "it resembles the character"
    assert twins_among([pack(lookalike=lookalike)], TRAITS, REFERENCES, OWN) == ()


def test_who_has_other_eyes_is_none() -> None:
    known = pack("blue hair", "green eyes", other=REFERENCES[::2])
    assert twins_among([known], TRAITS, REFERENCES, OWN) == ()


def test_where_too_many_are_alike_the_judge_is_at_fault() -> None:
    crowd = {f"name {number}": REFERENCES[::2] for number in range(MOST_TWINS + 1)}
    assert twins_among([pack(**crowd)], TRAITS, REFERENCES, OWN) == ()
    crowd.popitem()
    assert len(twins_among([pack(**crowd)], TRAITS, REFERENCES, OWN)) == MOST_TWINS


def test_only_real_pictures_with_that_name_are_left_out() -> None:
    known = pack(stranger=around(1, 5, 2), again=REFERENCES[::2])
    generated = Impostors("generated", known.embeddings, ("",) * 11, (frozenset(),) * 11)
    real, same = without([known, generated], ("again",))
    assert (len(real), set(real.characters), len(real.traits)) == (5, {"stranger"}, 5)
    assert same is generated
