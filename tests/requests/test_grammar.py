from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charaforge.errors import PromptError
from charaforge.requests.grammar import BREAK, Part, Span, escape, parse_prompt

SYNTAX = st.text(st.sampled_from("()[]{}\\:.|_<>, 1235abBREAK\n"), max_size=60)
PIECES = st.lists(
    st.sampled_from(
        [
            "(",
            ")",
            "[",
            "]",
            ":1.3)",
            ":0.5]",
            "\\",
            "\\(",
            "|",
            "{",
            "}",
            " BREAK ",
            " AND ",
            "a",
            ", ",
            ":",
            "__w__",
        ]
    ),
    max_size=25,
).map("".join)


# The first six stand in the documentation of A1111's own parser.
@pytest.mark.parametrize(
    ("prompt", "parts"),
    [
        ("normal text", [("normal text", 1.0)]),
        ("an (important) word", [("an ", 1.0), ("important", 1.1), (" word", 1.0)]),
        ("(unbalanced", [("unbalanced", 1.1)]),
        (r"\(literal\]", [("(literal]", 1.0)]),
        ("(unnecessary)(parens)", [("unnecessaryparens", 1.1)]),
        (
            "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).",
            [
                ("a ", 1.0),
                ("house", 1.5730000000000004),
                (" ", 1.1),
                ("on", 1.0),
                (" a ", 1.1),
                ("hill", 0.55),
                (", sun, ", 1.1),
                ("sky", 1.4641000000000006),
                (".", 1.1),
            ],
        ),
        ("[weak]", [("weak", 1 / 1.1)]),
        ("((a))", [("a", 1.1 * 1.1)]),
        ("(a: 1.3 )", [("a", 1.3)]),
        ("(a:-1)", [("a", -1.0)]),
        ("never opened) here]", [("never opened) here]", 1.0)]),
        ("ratio 16:9, a:1.3)", [("ratio 16:9, a:1.3)", 1.0)]),
        ("[(a]b)", [("a", 1.1 / 1.1), ("b", 1.1)]),
        (r"zxq \(series\) \\ C:\dir", [("zxq (series) \\ C:dir", 1.0)]),
        ("", []),
        ("()", []),
    ],
)
def test_a_prompt_is_read_as_a1111_reads_it(prompt: str, parts: list[tuple[str, float]]) -> None:
    found = parse_prompt(prompt)
    assert [part.text for part in found if isinstance(part, Span)] == [text for text, _ in parts]
    weights = [part.weight for part in found if isinstance(part, Span)]
    assert weights == pytest.approx([weight for _, weight in parts], rel=1e-15)


def test_break_begins_a_chunk_and_takes_the_blanks_around_it() -> None:
    assert parse_prompt("a BREAK b") == (Span("a", 1.0), BREAK, Span("b", 1.0))
    assert parse_prompt("(a\nBREAK\nb:1.5)") == (Span("a", 1.5), BREAK, Span("b", 1.5))
    assert parse_prompt("BREAK BREAK") == (BREAK, BREAK)
    assert parse_prompt("BREAKFAST, break") == (Span("BREAKFAST, break", 1.0),)


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ("a [cat:dog:0.5]", r"\[cat:dog:0.5\].*change while"),
        ("a [dog:3]", "change while"),
        ("a [cat::.5]", "change while"),
        ("a [[b]:2]", "change while"),
        ("[(a:2):3]", "change while"),
        ("[a|b]", "alternate"),
        ("[a (b)|c]", "alternate"),
        ("[a|(b:1.1)]", "alternate"),
        ("a cat AND a dog", "AND"),
        ("(a:1.2.3)", "'1.2.3'.*no number"),
        ("(a:99999)", "beyond"),
        ("(" * 80 + "a", "beyond"),
    ],
)
def test_what_is_not_offered_is_told(prompt: str, told: str) -> None:
    with pytest.raises(PromptError, match=told) as caught:
        parse_prompt(prompt)
    assert caught.value.hint


@pytest.mark.parametrize(
    "prompt", ["a|b", "(a|b)", "[{a|b}]", r"[a\|b]", "SAND AND_", "[a:b]", "[a", "a [b:0.5"]
)
def test_what_only_looks_like_it_is_read(prompt: str) -> None:
    assert parse_prompt(prompt)


@given(st.one_of(SYNTAX, PIECES, st.text(max_size=40)))
def test_any_text_is_read_or_refused_by_our_own_error(prompt: str) -> None:
    try:
        parts = parse_prompt(prompt)
    except PromptError:
        return
    spans = [part for part in parts if isinstance(part, Span)]
    assert all(span.text for span in spans)
    assert "".join(span.text for span in spans) == _plain(parts)
    neighbours = [
        (a.weight, b.weight) for a, b in pairwise(parts) if isinstance(a, Span) and isinstance(b, Span)
    ]
    assert all(a != b for a, b in neighbours)


def _plain(parts: tuple[Part, ...]) -> str:
    """Return the words of a prompt by way of the escape."""
    return "".join(
        part.text
        for p in parts
        if isinstance(p, Span)
        for part in parse_prompt(escape(p.text))
        if isinstance(part, Span)
    )


@given(st.one_of(SYNTAX, PIECES, st.text(max_size=40)))
def test_an_escaped_text_says_just_that(text: str) -> None:
    assert parse_prompt(escape(text)) == ((Span(text, 1.0),) if text else ())


WORD = st.text(st.sampled_from("abcdef gh"), min_size=1, max_size=8)
TREE = st.recursive(
    WORD,
    lambda inner: st.tuples(st.sampled_from(["(", "[", 0.5, 1.3, 2.0]), st.lists(inner, max_size=3)),
    max_leaves=12,
)
Tree = str | tuple[str | float, list["Tree"]]


def _written(tree: Tree) -> str:
    if isinstance(tree, str):
        return tree
    inner = "".join(map(_written, tree[1]))
    return {"(": f"({inner})", "[": f"[{inner}]"}.get(str(tree[0]), f"({inner}:{tree[0]})")


def _letters(tree: Tree, weight: float = 1.0) -> list[tuple[str, float]]:
    if isinstance(tree, str):
        return [(letter, weight) for letter in tree]
    factor = {"(": 1.1, "[": 1 / 1.1}.get(str(tree[0])) or float(tree[0])
    return [pair for inner in tree[1] for pair in _letters(inner, weight * factor)]


@given(TREE)
def test_no_weight_is_lost(tree: Tree) -> None:
    found = [
        (letter, part.weight)
        for part in parse_prompt(_written(tree))
        if isinstance(part, Span)
        for letter in part.text
    ]
    wanted = _letters(tree)
    assert [letter for letter, _ in found] == [letter for letter, _ in wanted]
    assert [weight for _, weight in found] == pytest.approx([weight for _, weight in wanted], rel=1e-12)
