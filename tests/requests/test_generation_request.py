from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from charaforge.config import parse
from charaforge.errors import ConfigError
from charaforge.requests.generation import MAX_SEED, GenerationRequest, LoraUse
from charaforge.requests.inputs import Keypoints


def test_the_request_of_the_mission_is_valid_as_it_stands() -> None:
    request = GenerationRequest(
        prompt="anime girl, blue hair, hoodie, looking at camera", steps=25, width=768, height=768, seed=1234
    )
    assert (request.model, request.seed, request.count) == ("mini-sd", 1234, 1)


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("width", 500, "multiple of 8"),
        ("height", 32, "greater than or equal to 64"),
        ("height", 4096, "less than or equal to 2048"),
        ("steps", 0, "greater than or equal to 1"),
        ("steps", 151, "less than or equal to 150"),
        ("seed", -2, "greater than or equal to -1"),
        ("seed", MAX_SEED + 1, "less than or equal to"),
        ("guidance", 0, "greater than 0"),
        ("count", 65, "less than or equal to 64"),
        ("scheduler", "euler_b", "did you mean 'euler"),
        ("model", "../secret", "match pattern"),
        ("model", "/abs/model", "match pattern"),
        ("prompt", "a\0b", "NUL"),
        ("prompt", "x" * 8193, "at most 8192"),
        ("prompt", "a [b:c:0.5]", "change while"),
        ("negative", "a AND b", "not offered"),
        ("loras", [{"name": "a", "blocks": {"IN12": 1}}], "match pattern"),
        ("loras", [{"name": "a/b"}], "match pattern"),
        ("loras", [{"name": "a"}, {"name": "a"}], "more than once"),
        ("negativ", "blurry", "did you mean 'negative'"),
    ],
)
def test_a_fault_names_the_field_the_value_and_what_is_allowed(field: str, value: object, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        parse(GenerationRequest, {"prompt": "girl", field: value}, "request")
    assert field in str(caught.value)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(GenerationRequest, {"steps": 0, "width": 1}, "request")
    assert len(caught.value.faults) == 3


def test_a_request_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        GenerationRequest(prompt="girl").steps = 3  # type: ignore[misc]


def test_a_random_seed_is_drawn_once_and_leaves_room_for_the_count() -> None:
    drawn = GenerationRequest(prompt="girl", count=64).seeded()
    assert 0 <= drawn.seed <= MAX_SEED - 63
    assert drawn.seeded() == drawn
    assert [single.seed for single in drawn.singles()] == list(range(drawn.seed, drawn.seed + 64))
    assert {single.count for single in drawn.singles()} == {1}


@pytest.mark.parametrize(
    ("asked", "recommended", "taken"),
    [
        (7.0, 3.0, 7.0),
        (None, 3, 3.0),
        (None, None, 5.0),
        (None, "high", 5.0),
        (None, 31.0, 5.0),
        (None, 0, 5.0),
    ],
)
def test_guidance_is_what_is_asked_else_what_the_model_likes(
    asked: float | None, recommended: object, taken: float
) -> None:
    guided = GenerationRequest(prompt="girl", guidance=asked).guided(recommended)
    assert guided.guidance == guided.guidance_scale == taken


def test_a_seed_too_near_the_end_for_the_count_is_refused() -> None:
    with pytest.raises(ValidationError, match="beyond"):
        GenerationRequest(prompt="girl", seed=MAX_SEED, count=2)


@pytest.mark.parametrize(
    ("text", "name", "weight"),
    [("charA", "charA", 1.0), ("charA:0.8", "charA", 0.8), ("a@1000:-1", "a@1000", -1.0)],
)
def test_lora_and_weight_are_read_from_text(text: str, name: str, weight: float) -> None:
    use = LoraUse.model_validate(LoraUse.values(text))
    assert (use.name, use.weight) == (name, weight)


@pytest.mark.parametrize("text", ["charA:much", "charA:9", ":1", ""])
def test_a_lora_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        LoraUse.model_validate(LoraUse.values(text))


def test_plain_values_make_the_same_request() -> None:
    request = GenerationRequest(prompt="girl", loras=(LoraUse(name="a", weight=0.5),), scheduler="Euler a")
    values: dict[str, Any] = request.plain()
    assert values["scheduler"] == "euler_a"
    assert GenerationRequest.model_validate(values) == request


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("depth", [17, 900])
def test_key_points_that_are_nested_too_deeply_are_refused(depth: int) -> None:
    for points in ({"people": nested(depth)}, nested(depth)):
        with pytest.raises(ConfigError, match="nested"):
            parse(
                GenerationRequest,
                {"prompt": "a", "controls": [{"type": "pose", "keypoints": points}]},
                "request",
            )


def test_the_deepest_key_points_do_not_exhaust_the_stack() -> None:
    with pytest.raises(ValueError, match="Value error"):
        TypeAdapter(Keypoints).validate_python(nested(20_000))


def test_key_points_as_deep_as_files_have_them_are_taken() -> None:
    points = {"people": [{"pose_keypoints_2d": [[1, 2, 3]] * 18}]}
    request = GenerationRequest.model_validate(
        {"prompt": "a", "controls": [{"type": "pose", "keypoints": [points]}]}
    )
    assert request.plain()["controls"][0]["keypoints"] == [points]
