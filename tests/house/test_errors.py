import pytest

from charaforge import errors
from charaforge.errors import CharaForgeError, ConfigError, ExitCode, UnknownNameError, nearest_names


def test_unknown_name_says_the_nearest_first() -> None:
    error = UnknownNameError("scheduler", "euler-A", ["ddim", "euler", "euler_a", "unipc"])
    assert str(error).splitlines()[0] == "unknown scheduler 'euler-A'"
    assert "did you mean 'euler_a'?" in error.hint
    assert error.exit_code == ExitCode.USAGE


def test_unknown_name_with_nothing_near_lists_what_is_valid() -> None:
    hint = UnknownNameError("model", "zzz", [f"m{i}" for i in range(11)]).hint
    assert hint.startswith("valid: m0, m1")
    assert hint.endswith("and 3 more")


def test_unknown_name_without_candidates_keeps_the_other_hint() -> None:
    assert UnknownNameError("model", "x", [], hint="put one there").hint == "put one there"


def test_case_and_separators_do_not_count() -> None:
    assert nearest_names("DPMpp 2M", ["dpmpp_2m", "ddim"])[0] == "dpmpp_2m"


def test_config_error_lists_all_faults() -> None:
    text = str(ConfigError("a.yaml", ["rank: too small, got 0", "unknown key 'lr'"]))
    assert text.splitlines() == ["a.yaml: 2 faults", "  - rank: too small, got 0", "  - unknown key 'lr'"]


@pytest.mark.parametrize("name", [name for name in dir(errors) if name.endswith("Error")])
def test_every_error_is_in_the_drawn_tree_and_has_a_slug(name: str) -> None:
    kind = getattr(errors, name)
    assert issubclass(kind, CharaForgeError)
    assert f"{name} " in (errors.__doc__ or "")
    assert kind.slug
    assert kind.slug != "fault" or kind is CharaForgeError
