from __future__ import annotations

import pytest

from charaforge.requests.generation import GenerationRequest, LoraUse
from charaforge.requests.infotext import infotext
from charaforge.requests.placeholders import fill_placeholders


@pytest.mark.parametrize(
    ("prompt", "filled", "dropped"),
    [
        ("anime [character] running, masterpiece", "anime zxq running, masterpiece", []),
        ("[style], [character], [outfit], smile", "zxq, smile", ["style", "outfit"]),
        ("[style] girl", "girl", ["style"]),
        ("girl, [style]", "girl", ["style"]),
        ("[word], [character]", "[word], zxq", []),
        ("two  spaces ,, stay", "two  spaces ,, stay", []),
        ("[outfit] [outfit]", "", ["outfit"]),
    ],
)
def test_placeholders_are_filled_or_dropped(prompt: str, filled: str, dropped: list[str]) -> None:
    assert fill_placeholders(prompt, {"character": "zxq", "outfit": ""}) == (filled, dropped)


def test_infotext_has_the_form_that_a1111_writes() -> None:
    request = GenerationRequest(
        prompt="girl",
        negative="blurry",
        seed=7,
        scheduler="euler_a",
        loras=(LoraUse(name="charA", weight=0.8),),
    )
    text = infotext(request, "ab" * 32, {"charA": "cd" * 32}, "0.1.0", {"bad_hands": "ef" * 32})
    assert text.splitlines() == [
        "girl <lora:charA:0.8>",
        "Negative prompt: blurry",
        "Steps: 20, Sampler: Euler a, Schedule type: DDIM, CFG scale: 5, Seed: 7, Size: 512x512, "
        'Model hash: ababababab, Model: mini-sd, RNG: CPU, Lora hashes: "charA: cdcdcdcdcdcd", '
        'TI hashes: "bad_hands: efefefefefef", Version: CharaForge 0.1.0',
    ]


def test_infotext_leaves_out_what_was_not_asked_for() -> None:
    text = infotext(GenerationRequest(prompt="girl", seed=0), "ab" * 32, {}, "0.1.0")
    assert "Negative prompt" not in text
    assert "Lora" not in text
    assert "Seed: 0" in text
