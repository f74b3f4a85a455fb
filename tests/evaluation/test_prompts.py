"""Prompts files: the shipped one, and what faulty ones are told."""

import json
from collections import Counter
from pathlib import Path

import pytest

from charaforge.errors import ConfigError, UsageError
from charaforge.evaluation.prompts import load_prompts


def test_the_shipped_prompts(repository: Path) -> None:
    prompts = load_prompts(repository / "docs" / "prompts" / "charA_eval_prompts.json")
    assert len(prompts) == len({p.prompt for p in prompts}) == 40
    groups = Counter(p.group for p in prompts[:20])
    assert set(groups) == {p.group for p in prompts}
    assert max(groups.values()) <= 8, "a part of the prompts is not a fair mix"
    for prompt in prompts:
        assert all(tag in prompt.prompt for tag in prompt.expected_tags)


def test_the_fresh_prompts_share_none_with_them(repository: Path) -> None:
    folder = repository / "docs" / "prompts"
    fresh = load_prompts(folder / "charA_fresh_prompts.json")
    assert len({p.prompt for p in fresh}) == 100
    assert not {p.prompt for p in fresh} & {
        p.prompt for p in load_prompts(folder / "charA_eval_prompts.json")
    }
    assert set(Counter(p.group for p in fresh[:40]).values()) == {12, 8}
    assert all(tag in prompt.prompt for prompt in fresh for tag in prompt.expected_tags)


def test_all_faults_at_once(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    good = {"id": "a", "prompt": "[character]", "expected_tags": [], "group": "g"}
    path.write_text(
        json.dumps([good, good, good | {"id": "b", "prompt": "nobody"}, good | {"id": "c", "grop": 1}])
    )
    with pytest.raises(ConfigError) as caught:
        load_prompts(path)
    text = str(caught.value)
    assert "'a' stands twice" in text
    assert "prompt 3" in text
    assert "[character]" in text
    assert "'group'" in text, "an unknown key names the nearest"


@pytest.mark.parametrize(
    ("key", "text", "why"),
    [
        ("prompt", "1girl, [character], <lora:charA:1>", "names a LoRA"),
        ("prompt", "[character], <LyCO:[character]:0.5>", "names a LoRA"),
        ("prompt", "[character], <hypernet:x:1>", "only <lora:name:weight> is offered"),
        ("prompt", "[character], __hair/colours__", "draws its words"),
        ("prompt", "__[character]__", "draws its words"),
        ("prompt", "[character], {red|blue} dress", "draws its words"),
        ("prompt", "[character], {3$$red|blue} dress", "draws its words"),
        ("prompt", "[character], [red|blue] dress", "alternate from step to step"),
        ("prompt", "[character] AND tree", "joined by AND"),
        ("negative", "<lora:charA:1>", "names a LoRA"),
        ("negative", "{bad|worse} hands", "draws its words"),
    ],
)
def test_pictures_that_could_not_be_held_against_each_other(
    tmp_path: Path, key: str, text: str, why: str
) -> None:
    path = tmp_path / "p.json"
    good = {"id": "a", "prompt": "[character]", "expected_tags": [], "group": "g"}
    path.write_text(json.dumps([good, good | {"id": "b", key: text}]))
    with pytest.raises(ConfigError, match=f"prompt 2: {key}: .*{why}"):
        load_prompts(path)


@pytest.mark.parametrize(
    "text",
    [
        r"[character], <\lora:charA:1>, _\_hair_\_, \{red|blue\} dress",
        "[character], (smile:1.2), [hat], {red} a|b, heart <3, ^_^, BREAK, sky",
        "[style], [character], [outfit], [pose_tag]",
    ],
)
def test_what_is_escaped_or_a_weight_is_no_fault(tmp_path: Path, text: str) -> None:
    path = tmp_path / "p.json"
    entry = {"prompt": text, "negative": text, "expected_tags": [], "group": "g"}
    path.write_text(json.dumps([entry | {"id": "a"}, entry | {"id": "b"}]))
    assert [one.prompt for one in load_prompts(path)] == [text, text]


@pytest.mark.parametrize("content", ["{", "{}", "[]"])
def test_what_is_no_list_of_prompts(tmp_path: Path, content: str) -> None:
    path = tmp_path / "p.json"
    path.write_text(content)
    with pytest.raises(ConfigError):
        load_prompts(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.json"):
        load_prompts(tmp_path / "nowhere.json")
