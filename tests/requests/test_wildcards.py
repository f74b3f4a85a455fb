from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from charaforge.errors import CharaForgeError, PromptError, UnknownNameError
from charaforge.requests.wildcards import expand, wildcard_names


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("wildcards")
    (root / "hair").mkdir()
    (root / "colour.txt").write_text("# of hair\nred\n\nblue\n  green  \n", encoding="utf-8")
    (root / "hair" / "style.txt").write_text("long __colour__ hair\n{short|curly} hair\n", encoding="utf-8")
    (root / "loop.txt").write_text("a __loop__\n", encoding="utf-8")
    (root / "flood.txt").write_text("__flood2__ __flood2__\n", encoding="utf-8")
    (root / "flood2.txt").write_text(" ".join(["{a|b}"] * 600), encoding="utf-8")
    (root / "empty.txt").write_text("# nothing\n", encoding="utf-8")
    return root


def drawn(text: str, folder: Path, count: int = 60) -> set[str]:
    return {expand(text, folder, seed) for seed in range(count)}


def test_a_wildcard_is_a_line_of_its_file(folder: Path) -> None:
    assert drawn("a __colour__ hat", folder) == {"a red hat", "a blue hat", "a green hat"}


def test_wildcards_lie_in_folders_and_lead_to_others(folder: Path) -> None:
    long = {f"long {colour} hair" for colour in ("red", "blue", "green")}
    assert drawn("__hair/style__", folder, 200) == long | {"short hair", "curly hair"}
    assert "hair/style" in wildcard_names(folder)


@pytest.mark.parametrize(
    ("text", "results"),
    [
        ("{a|b}", {"a", "b"}),
        ("{a|{b|c}}", {"a", "b", "c"}),
        ("x{,y|}", {"x,y", "x"}),
        ("{2$$a|b}", {"a, b", "b, a"}),
        ("{2$$ and $$a|b}", {"a and b", "b and a"}),
        ("{0-1$$a|b}", {"", "a", "b"}),
        ("{0::a|b}", {"b"}),
        ("{a}", {"{a}"}),
        (r"\{a|b}", {r"\{a|b}"}),
        ("a|b} {", {"a|b} {"}),
        (r"_\_colour__", {r"_\_colour__"}),
        ("^__^", {"^__^"}),
    ],
)
def test_braces_choose_among_options(text: str, results: set[str], folder: Path) -> None:
    assert drawn(text, folder) == results


def test_a_share_makes_an_option_likelier(folder: Path) -> None:
    red = sum(expand("{3::red|blue}", folder, seed) == "red" for seed in range(2000))
    assert 1430 < red < 1570


def test_the_seed_decides_and_purposes_are_independent(folder: Path) -> None:
    texts = ["{a|b|c|d} __colour__ {e|f}"] * 2
    assert expand(texts[0], folder, 7) == expand(texts[1], folder, 7)
    pairs = {(expand("{a|b}", folder, n), expand("{a|b}", folder, n, "negative")) for n in range(40)}
    assert len(pairs) == 4


def test_an_unknown_wildcard_brings_the_nearest(folder: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'colour'") as caught:
        expand("__colours__", folder, 0)
    assert "colours.txt" in caught.value.hint


@pytest.mark.parametrize("name", ["hair/../../secret", "hair/../colour", "a/../../secret"])
def test_no_wildcard_leads_out_of_the_folder(name: str, folder: Path) -> None:
    (folder.parent / "secret.txt").write_text("secret", encoding="utf-8")
    with pytest.raises(UnknownNameError):
        expand(f"__{name}__", folder, 0)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("__loop__", "nest deeper"),
        ("__flood__", "more than 1000 choices"),
        ("__empty__", "no values"),
        ("{3$$a|b}", "asks for 3 to 3 of 2"),
    ],
)
def test_what_does_not_work_is_told(text: str, told: str, folder: Path) -> None:
    with pytest.raises(PromptError, match=told):
        expand(text, folder, 0)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.one_of(st.text(st.sampled_from("{}|$\\_-:,12ab c"), max_size=50), st.text(max_size=30)),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_text_is_expanded_or_refused_by_our_own_error(text: str, seed: int, tmp_path: Path) -> None:
    try:
        once = expand(text, tmp_path, seed)
    except CharaForgeError:
        return
    assert once == expand(text, tmp_path, seed)
