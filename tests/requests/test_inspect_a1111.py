"""What of A1111's text is kept where some of it is not offered here."""

from __future__ import annotations

import pytest

from charaforge.requests.generation import GenerationRequest
from charaforge.requests.infotext import infotext
from charaforge.requests.inspection import inspect_texts
from tests.requests.test_inspection import request_of


@pytest.mark.parametrize(
    ("prompt", "taken"),
    [
        ("[a:b:0.5], hat", "b, hat"),
        ("[a::0.5], hat", "a, hat"),
        ("[hat:0.25]", "hat"),
        ("[a|b|c] hat", "a hat"),
        ("[x [big:small:3] y:z:0.5]", "z"),
        ("[[weak] hat: :5]", "[weak] hat"),
        ("{[a|b]}, [weak]", "\\{a\\}, [weak]"),
        ("girl AND boy :0.5", "girl, boy"),
        ("\\[a\\] [b:c:4]", "\\[a\\] c"),
        ("a" * 9000, ""),
        ("a\0b", ""),
    ],
)
def test_of_a_prompt_that_is_not_offered_the_rest_is_kept(prompt: str, taken: str) -> None:
    pairs = "Steps: 25, Sampler: Euler, Schedule type: Karras, CFG scale: 7, Seed: 5, Model: base"
    for text in (f"{prompt}\n{pairs}", f"girl\nNegative prompt: {prompt}\n{pairs}"):
        found = inspect_texts({"parameters": text})
        request = request_of(found)
        assert taken == (request.negative if "Negative" in text else request.prompt)
        assert (request.steps, request.seed, request.model) == (25, 5, "base")
        assert request.scheduler == "euler_karras"
        assert found.unmapped[0] != "RNG: GPU"


def test_what_changes_while_the_picture_is_drawn_is_told() -> None:
    found = inspect_texts({"parameters": "[a:b:0.5]\nSteps: 20, Sampler: Euler, CFG scale: 7"})
    assert any("change while" in what for what in found.unmapped)


@pytest.mark.parametrize(
    "nested", ["[" * 4000 + "a:b:0.5" + "]" * 4000, "[a|" * 2000, "[a:[" * 2000 + "1]" * 4000]
)
def test_deep_brackets_are_read_in_time(nested: str) -> None:
    inspect_texts({"parameters": f"{nested}\nSteps: 20, Sampler: Euler, CFG scale: 7"})


@pytest.mark.parametrize(
    ("told", "upscaler", "note"),
    [
        ("Latent", "latent", ""),
        ("Latent (bicubic antialiased)", "latent", "Hires upscaler: Latent (bicubic antialiased)"),
        ("Lanczos", "lanczos", ""),
        ("R-ESRGAN 4x+ Anime6B", "lanczos", "Hires upscaler: R-ESRGAN 4x+ Anime6B"),
        ("ESRGAN_4x", "lanczos", "Hires upscaler: ESRGAN_4x"),
        ("None", "lanczos", "Hires upscaler: None"),
        ("mini-upscaler", "mini-upscaler", ""),
    ],
)
def test_every_upscaler_keeps_the_second_pass(told: str, upscaler: str, note: str) -> None:
    pairs = (
        "Steps: 20, Sampler: Euler, CFG scale: 7, Size: 512x512, Denoising strength: 0.4, RNG: CPU, Model: m"
    )
    text = f"a\n{pairs}, Hires upscale: 1.7, Hires upscaler: {told}"
    found = inspect_texts({"parameters": text})
    request = request_of(found)
    assert request.hires is not None
    assert (request.hires.upscaler, request.hires.scale, request.width) == (upscaler, 1.7, 872)
    assert (note in "\n".join(found.unmapped)) if note else not found.unmapped


@pytest.mark.parametrize(
    "more", ["Hires upscale: 6", "Hires upscale: 2, Denoising strength: 0", "Hires upscale: 1"]
)
def test_without_its_second_pass_a_picture_has_the_size_of_the_first(more: str) -> None:
    text = f"a\nSteps: 20, Sampler: Euler, CFG scale: 7, Size: 256x320, {more}"
    found = inspect_texts({"parameters": text})
    request = request_of(found)
    assert (request.hires, request.width, request.height) == (None, 256, 320)
    assert "hires" in "\n".join(found.unmapped)


@pytest.mark.parametrize(
    ("version", "expected"),
    [("v1.8.0", "dpmpp_2m_uniform"), ("v1.10.1", "dpmpp_2m_karras"), ("f2.0.1v1.10.1", "dpmpp_2m_karras")],
)
def test_before_schedules_had_names_a1111_took_even_steps(version: str, expected: str) -> None:
    text = f"a\nSteps: 20, Sampler: DPM++ 2M, CFG scale: 7, Version: {version}"
    assert request_of(inspect_texts({"parameters": text})).scheduler == expected


def test_the_schedule_that_is_written_is_what_a1111_would_sample() -> None:
    for name, told in (("dpmpp_2m", "DDIM"), ("dpmpp_2m_karras", "Karras"), ("ddim", "Automatic")):
        text = infotext(GenerationRequest(prompt="a", seed=1, scheduler=name), "ab" * 32, {}, "0.1.0")
        assert f"Schedule type: {told}" in text
