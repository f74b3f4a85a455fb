from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charaforge.errors import ConfigError, PromptError
from charaforge.requests.generation import GenerationRequest, LoraUse
from charaforge.requests.grammar_loras import extract_loras, lora_tag, slug
from charaforge.requests.prompts import settle


@pytest.mark.parametrize(
    ("tag", "use"),
    [
        ("<lora:charA>", LoraUse(name="charA")),
        ("<lora:charA:0.8>", LoraUse(name="charA", weight=0.8)),
        ("<lora:charA:0.5:0.9>", LoraUse(name="charA", weight=0.9, te_weight=0.5)),
        ("<lora:charA:te=0.5:unet=0.9>", LoraUse(name="charA", weight=0.9, te_weight=0.5)),
        ("<lora:charA:te=0.5>", LoraUse(name="charA", weight=0.5)),
        ("<lora:charA:1:unet=0>", LoraUse(name="charA", weight=0.0, te_weight=1.0)),
        ("<lyco:sub/my char v1.2:-1>", LoraUse(name="my-char-v1.2", weight=-1.0)),
        ("<lora:charA@1000:0.5>", LoraUse(name="charA@1000", weight=0.5)),
        ("<lora:charA:1:MID=0.5>", LoraUse(name="charA", blocks={"MID": 0.5})),
    ],
)
def test_a_lora_is_read_as_a1111_reads_it(tag: str, use: LoraUse) -> None:
    assert extract_loras(f"girl {tag}, hat") == ("girl , hat", (use,))
    assert extract_loras(lora_tag(use)) == ("", (use,))


def test_a_list_of_blocks_is_read_in_the_order_of_its_length() -> None:
    numbers = ",".join(["1"] * 7 + ["0.5"] + ["0"] * 9)
    (use,) = extract_loras(f"<lora:charA:1:lbw={numbers}>")[1]
    assert (use.blocks["BASE"], use.blocks["IN08"], use.blocks["MID"]) == (1.0, 1.0, 0.5)
    assert (use.blocks["OUT03"], use.blocks["OUT11"], len(use.blocks)) == (0.0, 0.0, 17)


@pytest.mark.parametrize(
    ("tag", "told"),
    [
        ("<hypernet:x:1>", "only <lora:name:weight>"),
        ("<lorra:x:1>", "did you mean 'lora'"),
        ("<lora:x:much>", "'much' is no number"),
        ("<lora:x:9>", "less than or equal to 4"),
        ("<lora:x:nan>", "finite"),
        ("<lora:x:1:2:3>", "3 weights"),
        ("<lora:x:dyn=8>", "unknown word 'dyn'"),
        ("<lora:x:1:lbw=1,2>", "2 numbers"),
        ("<lora::1>", "name"),
    ],
)
def test_a_tag_that_is_not_understood_is_told(tag: str, told: str) -> None:
    with pytest.raises(PromptError, match=told):
        extract_loras(tag)


@pytest.mark.parametrize("text", ["i <3 you", "<a>", "a < b: c > d", r"<\lora:x:1>"])
def test_what_only_looks_like_a_tag_stays(text: str) -> None:
    assert extract_loras(text) == (text, ())


@given(st.text(st.sampled_from("<>lora:=.,-1te hu/"), max_size=40))
def test_any_text_is_read_or_refused_by_our_own_error(text: str) -> None:
    with suppress(PromptError):
        extract_loras(f"<lora:{text}>")


def test_names_of_files_become_registry_names() -> None:
    assert slug("styles/My Style (v2).safetensors") == "My-Style-v2"


def test_settling_draws_wildcards_and_moves_loras(tmp_path: Path) -> None:
    (tmp_path / "who.txt").write_text("<lora:charA:0.8> zxq\n<lora:charB> abc\n", encoding="utf-8")
    request = GenerationRequest(prompt="__who__, {hat|cap}", negative="{a|b}", seed=3)
    settled = settle(request, tmp_path)
    assert settled.loras[0].name in ("charA", "charB")
    assert "<" not in settled.prompt
    assert settle(settled, tmp_path) == settled
    many = {settle(request.model_copy(update={"seed": n}), tmp_path).prompt for n in range(40)}
    assert many == {f" {who}, {what}" for who in ("zxq", "abc") for what in ("hat", "cap")}


def test_a_wildcard_seed_decides_where_there_is_one(tmp_path: Path) -> None:
    requests = [GenerationRequest(prompt="{a|b|c}", seed=n, wildcard_seed=5) for n in range(9)]
    assert len({settle(request, tmp_path).prompt for request in requests}) == 1
    singles = GenerationRequest(prompt="a", seed=1, wildcard_seed=2**32 - 1, count=2).singles()
    assert [single.wildcard_seed for single in singles] == [2**32 - 1, 0]


def test_loras_act_for_their_own_picture_only_and_once(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match="negative prompt names"):
        settle(GenerationRequest(prompt="a", negative="<lora:x>", seed=0), tmp_path)
    with pytest.raises(ConfigError, match="more than once"):
        settle(GenerationRequest(prompt="<lora:x>", loras=(LoraUse(name="x"),), seed=0), tmp_path)
    with pytest.raises(ValueError, match="seeded"):
        settle(GenerationRequest(prompt="a"), tmp_path)
