"""A name is text, in whatever prompt it is filled in: its brackets are no weights."""

from pathlib import Path

import pytest

from charaforge.evaluation.arms import Arm, requests_of, words_of
from charaforge.evaluation.plan import EvaluationPlan
from charaforge.evaluation.prompts import EvalPrompt
from charaforge.evaluation.subject import Subject
from charaforge.forge.sheet.making import SheetPlan, _request
from charaforge.generation.generator import _filled
from charaforge.requests.generation import GenerationRequest
from charaforge.requests.grammar import Span, parse_prompt
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.registry import Registry

NAMES = ("rem (re:zero)", "AND", "[a|b]", "zxq", "two, words")


def evaluated(name: str, outfit: str) -> str:
    subject = Subject(name, (), outfit, "", (), ())
    prompt = EvalPrompt(id="1", prompt="1girl, [character], [outfit]", expected_tags=(), group="")
    plan = EvaluationPlan(lora="a", model="b", table=Path("t"), prompts=Path("p"), out=Path("o"))
    arm = Arm("lora", "LoRA", name, "a")
    assert words_of(prompt, arm, subject) == f"1girl, {name}, {outfit}", "this is compared with tags"
    return requests_of(plan, arm, [prompt], subject, 64)[0].prompt


def generated(name: str, outfit: str) -> str:
    request = GenerationRequest(prompt="1girl, [character], [outfit]", negative="[character]", model="b")
    filled = _filled(request, {"character": name, "outfit": outfit})
    assert parse_prompt(filled.negative) == (Span(name, 1.0),)
    return filled.prompt


@pytest.mark.parametrize("name", NAMES)
def test_a_name_says_itself_and_nothing_else(name: str) -> None:
    for prompt in (evaluated(name, "coat (red)"), generated(name, "coat (red)")):
        assert parse_prompt(prompt) == (Span(f"1girl, {name}, coat (red)", 1.0),)


@pytest.mark.parametrize("name", NAMES)
def test_a_sheet_says_the_name(name: str, warehouse: Warehouse, tmp_path: Path) -> None:
    base = Registry(warehouse).get("mini-sd", "base")
    told = {"lora": "a", "model": "mini-sd", "character": "x", "outfit": "coat (red)", "out": tmp_path / "s"}
    prompt = _request(SheetPlan.model_validate(told | {"trigger": name}), base, "smile, [outfit]").prompt
    (span,) = parse_prompt(prompt)
    assert isinstance(span, Span)
    assert name in span.text
    assert span.text.endswith("smile, coat (red)")
    left = _request(SheetPlan.model_validate(told), base, "smile").prompt
    assert "[character]" in left, "the LoRA's own file fills it"


def test_names_without_syntax_give_the_same_prompts_as_ever() -> None:
    for asked in (evaluated, generated):
        assert asked("mochi_chan", "red hoodie") == "1girl, mochi_chan, red hoodie"
