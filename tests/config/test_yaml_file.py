from pathlib import Path

import pytest
from pydantic import Field

from charaforge.config import StrictModel, dump_yaml, load_yaml
from charaforge.errors import ConfigError, UsageError


class Recipe(StrictModel):
    name: str
    rate: float = Field(1.0, gt=0)
    tags: list[str] = []


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "recipe.yaml"


@pytest.mark.parametrize(
    ("text", "value"), [("1e-4", 1e-4), ("1E5", 1e5), ("2.5e-3", 2.5e-3), (".5e1", 5.0), ("3", 3.0)]
)
def test_numbers_as_people_write_them(file: Path, text: str, value: float) -> None:
    class Loose(StrictModel):
        rate: float | str

    file.write_text(f"rate: {text}")
    assert load_yaml(file, Loose).rate == value


def test_what_only_looks_like_a_number_stays_text(file: Path) -> None:
    file.write_text("name: e-4")
    assert load_yaml(file, Recipe).name == "e-4"


def test_variables_are_replaced_in_text_values(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHERE", "/data: [x]")
    file.write_text('name: ${WHERE}/a\ntags: ["${WHERE}"]')
    assert load_yaml(file, Recipe).model_dump(include={"name", "tags"}) == {
        "name": "/data: [x]/a",
        "tags": ["/data: [x]"],
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name: ${NOT_SET_ANYWHERE}/a", "NOT_SET_ANYWHERE is not set"),
        ("name: a\nname: b", "'name' twice (line 2)"),
        ("- a", "got list"),
        ("", "got NoneType"),
        ("name: [", "not valid YAML"),
        ("name: a\nrtae: 1", "did you mean 'rate'?"),
    ],
)
def test_faults_are_told(file: Path, text: str, told: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_yaml(file, Recipe)
    assert told in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.yaml"):
        load_yaml(tmp_path / "none.yaml", Recipe)


def test_round_trip(file: Path) -> None:
    recipe = Recipe(name="ä: b", rate=1e-7, tags=["1", "no"])
    file.write_text(dump_yaml(recipe))
    assert load_yaml(file, Recipe) == recipe
