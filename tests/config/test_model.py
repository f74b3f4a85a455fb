import pytest
from pydantic import Field, ValidationError

from charaforge.config import StrictModel, fault_lines, parse
from charaforge.errors import ConfigError


class Inner(StrictModel):
    weight: float = Field(1.0, ge=0, le=2)


class Outer(StrictModel):
    rank: int = Field(8, ge=1)
    learning_rate: float = 1e-4
    loras: list[Inner] = []
    one: Inner | None = None


def faults_of(data: dict[str, object]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(Outer, data, "test")
    return caught.value.faults


def test_unknown_key_names_the_nearest() -> None:
    assert faults_of({"learning_rat": 1}) == ["unknown key 'learning_rat'; did you mean 'learning_rate'?"]


@pytest.mark.parametrize("data", [{"one": {"wieght": 1}}, {"loras": [{"weight": 1}, {"wieght": 1}]}])
def test_unknown_key_in_an_inner_model_names_the_nearest_there(data: dict[str, object]) -> None:
    (fault,) = faults_of(data)
    assert "did you mean 'weight'?" in fault


def test_all_faults_at_once_each_with_its_value() -> None:
    faults = faults_of({"rank": 0, "loras": [{"weight": 9}], "x": 1})
    assert len(faults) == 3
    assert "got 0" in faults[0]
    assert faults[0].startswith("rank:")
    assert faults[1].startswith("loras.0.weight:")
    assert "got 9" in faults[1]


def test_models_are_frozen_and_refuse_infinity() -> None:
    with pytest.raises(ValidationError):
        Outer().rank = 4  # type: ignore[misc]  # that is what is tested
    assert "finite" in faults_of({"learning_rate": float("inf")})[0]


def test_missing_key_is_named() -> None:
    class Needs(StrictModel):
        model_id: str

    with pytest.raises(ValidationError) as caught:
        Needs.model_validate({})
    assert fault_lines(caught.value, Needs) == ["model_id: missing"]
