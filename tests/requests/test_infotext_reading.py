"""A1111's text, read: quoted values, nonsense of any size, any text at all."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charaforge.requests.infotext_reading import read_infotext
from charaforge.requests.inspection import inspect_texts


def test_a_quoted_value_is_read_as_json() -> None:
    text = 'a\nSteps: 20, Sampler: Euler, CFG scale: 7, Note: "x: \\"y\\", \\\\ z", Odd: "a\\q, b"'
    assert read_infotext(text).values["Note"] == 'x: "y", \\ z'
    assert read_infotext(text).values["Odd"] == '"a\\q, b"'


@pytest.mark.parametrize(
    "piece",
    ["a b ", " ", 'aa: "x', 'aa: "x,', "aa: b,", "\\", '"', "<a:", "a+", "(", "{a|", "__a", "[a|", "\n"],
)
def test_a_megabyte_of_nonsense_takes_no_time(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    began = time.process_time()
    for words in (f"a\n{text}", f"{text}\nSteps: 1, Seed: 2, Size: 8x8", text):
        inspect_texts({"parameters": words})
    for said in ({"positive_prompt": text, "model": text}, {text: text}):
        inspect_texts({"invokeai_metadata": json.dumps(said)})
        inspect_texts({"parameters": json.dumps({"sui_image_params": said})})
    graph = {str(n): {"class_type": f"X{n}", "inputs": {"images": [str(n + 1), 0]}} for n in range(9999)}
    inspect_texts(
        {"prompt": json.dumps(graph | {"0": {"class_type": "SaveImage", "inputs": {"text": text}}})}
    )
    assert time.process_time() - began < 5.0


@given(st.text(max_size=60), st.text(max_size=40))
def test_any_text_is_read_as_an_infotext(first: str, last: str) -> None:
    read_infotext(f"{first}\n{last}")
