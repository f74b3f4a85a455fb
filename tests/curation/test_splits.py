from collections import Counter, defaultdict

from hypothesis import given
from hypothesis import strategies as st

from charaforge.curation.splits import Member, assign, collections, together

_MEMBERS = st.lists(
    st.builds(
        Member,
        st.integers(0, 10**6).map(lambda number: f"{number:064x}"),
        st.lists(st.sampled_from(["dup 1", "dup 2", "post 1", "post 2", "post 3"]), max_size=2).map(tuple),
    ),
    max_size=60,
    unique_by=lambda member: member.sha256,
)


def _plain(count: int) -> list[Member]:
    return [Member(f"{number:064x}") for number in range(count)]


@given(_MEMBERS, st.integers(0, 3))
def test_what_belongs_together_is_never_torn(members: list[Member], seed: int) -> None:
    splits = defaultdict(set)
    for member, split in zip(members, assign(members, seed), strict=True):
        for tie in member.ties:
            splits[tie].add(split)
    assert all(len(found) == 1 for found in splits.values())


@given(_MEMBERS, st.permutations(range(60)))
def test_the_order_of_the_pictures_does_not_count(members: list[Member], order: list[int]) -> None:
    shuffled = [members[index] for index in order if index < len(members)]
    told = dict(zip((one.sha256 for one in members), assign(members), strict=True))
    assert dict(zip((one.sha256 for one in shuffled), assign(shuffled), strict=True)) == told


@given(_MEMBERS)
def test_assigning_again_changes_nothing(members: list[Member]) -> None:
    first = assign(members)
    before = dict(zip((one.sha256 for one in members), first, strict=True))
    assert assign(members, before=before) == first


def test_ties_reach_over_others() -> None:
    members = [Member("b", ("dup 1",)), Member("a", ("dup 1", "post")), Member("c", ("post",)), Member("d")]
    assert together(members) == ["a", "a", "a", "d"]


def test_shares_hold_for_many_and_references_suffice_for_few() -> None:
    assert Counter(assign(_plain(200))) == {"train": 140, "ref": 32, "calib": 16, "val": 12}
    assert Counter(assign(_plain(32))) == {"train": 18, "ref": 8, "calib": 4, "val": 2}
    assert Counter(assign(_plain(10000)))["ref"] == 200
    assert assign([]) == []
    assert assign(_plain(1)) == ["train"]


def test_pictures_that_come_later_move_no_others() -> None:
    first = assign(_plain(100))
    before = {member.sha256: split for member, split in zip(_plain(100), first, strict=True)}
    later = assign(_plain(160), before=before)
    assert later[:100] == first
    assert Counter(later)["ref"] == 26


def test_a_group_of_which_a_part_was_trained_on_trains() -> None:
    members = [Member("a", ("dup",)), Member("b", ("dup",))]
    assert assign(members, before={"a": "ref", "b": "train"}) == ["train", "train"]


def test_a_group_that_is_too_large_for_a_held_out_split_trains() -> None:
    members = [Member(f"{number:02}", ("post",) if number < 30 else ()) for number in range(60)]
    assert set(assign(members)[:30]) == {"train"}


def test_a_source_of_a_quarter_is_a_collection() -> None:
    assert collections(["site"] * 30 + ["post"] * 5 + [""] * 40) == ["site"]
    assert collections(["post"] * 2) == []
