"""CSV as spreadsheets write it, and as nobody should."""

from __future__ import annotations

import codecs
import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charaforge.requests.batch_faults import is_formula, plain_cell, safe_cell
from tests.requests.batches import read, told

JAPANESE = "青い髪の女の子、パーカー"
FRENCH = "générique, naïve, café crème, forêt"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp932"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_encodings_separators_and_line_ends(encoding: str, separator: str, newline: str) -> None:
    text = newline.join([separator.join(["prompt", "seed", "steps"]), separator.join([JAPANESE, "7", "5"])])
    batch = read((text + newline).encode(encoding))
    assert told(batch) == []
    (item,) = batch.items
    assert (item.request.prompt, item.request.seed, item.request.steps) == (JAPANESE, 7, 5)
    assert item.note == {"row": 2}


def test_latin_text_is_no_japanese() -> None:
    batch = read(f'prompt;seed\n"{FRENCH}";1\n'.encode("cp1252"))
    assert batch.items[0].request.prompt == FRENCH
    assert batch.read_as == "CSV, cp1252, semicolon"


def test_latin_text_that_happens_to_decode_as_japanese() -> None:
    text = "Bären, générale"
    assert text.encode("cp1252").decode("cp932") != text
    assert read(f'prompt;seed\n"{text}";1\n'.encode("cp1252")).items[0].request.prompt == text


def test_excel_s_own_line_about_the_separator() -> None:
    assert read("sep=;\nprompt;seed\na, b;1\n").items[0].request.prompt == "a, b"


def test_columns_by_other_names_and_in_other_letters() -> None:
    batch = read("Prompt,Negative Prompt,CFG-scale,Sampler\nx,bad,6.5,Euler a\n")
    (item,) = batch.items
    assert (item.request.negative, item.request.guidance) == ("bad", 6.5)
    assert item.request.scheduler == "euler_a"


def test_unknown_double_and_missing_columns_are_told_before_any_row() -> None:
    batch = read("promt,seed,seed\nx,1,2\n")
    assert told(batch) == [(1, "promt"), (1, "seed"), (1, "prompt")]
    assert "did you mean 'prompt'?" in batch.faults.listed[0].message
    assert batch.items == []
    assert len(batch.faults.of_the_file) == 3


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04rest", "Excel workbook"),
        (b"\x89PNG\r\n\x1a\n", "no text"),
        (b"prompt,seed\n", "no rows"),
        (b'prompt,seed\n"never closed,1\nx,2\n', "never closed"),
        (b'prompt,seed\n"a" b,1\n', "behind a closing quote"),
    ],
)
def test_files_that_are_no_batch(data: bytes, message: str) -> None:
    batch = read(data)
    assert message in batch.faults.listed[0].message
    assert batch.items == []


def test_bytes_that_are_no_text_are_a_fault_of_their_row() -> None:
    batch = read(b"\xef\xbb\xbfprompt,seed\ncaf\xe9 girl,1\nfine,2\n")
    assert told(batch) == [(2, "prompt")]
    assert [item.request.prompt for item in batch.items] == ["fine"]


def test_a_row_with_more_cells_than_columns() -> None:
    assert told(read("prompt,seed\nblue hair, hat,7\n")) == [(2, "")]
    assert told(read("prompt,seed,\nx,7,\n\n,,\n")) == []


@pytest.mark.parametrize(
    "cell", ['=HYPERLINK("http://x.test")', "+SUM(A1)", "@IMPORTXML(1)", "=cmd|'/c calc'!A0"]
)
def test_formulas_are_refused_and_come_back_harmless(cell: str) -> None:
    stream = io.StringIO()
    csv.writer(stream).writerows([["prompt", "seed"], [cell, "1"], ["fine", "2"]])
    batch = read(stream.getvalue())
    assert told(batch) == [(2, "prompt")]
    (_, row) = csv.reader(io.StringIO(batch.refused()))
    assert row[0] == f"'{cell}"
    assert [item.request.prompt for item in batch.items] == ["fine"]


@pytest.mark.parametrize("tag", ["=_=, smile", "@_@", "+_+", "-o-", "-1girl"])
def test_faces_that_begin_like_formulas_are_prompts(tag: str) -> None:
    assert read(f'prompt\n"{tag}"\n').items[0].request.prompt == tag


@settings(max_examples=60)
@given(st.text())
def test_a_harmless_cell_is_read_back(cell: str) -> None:
    assert plain_cell(safe_cell(cell)) == cell or cell.startswith("'")
    assert not is_formula(safe_cell(cell))


@settings(max_examples=60)
@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_told(data: bytes) -> None:
    batch = read(data)
    assert batch.items or batch.faults.count


@settings(max_examples=60)
@given(st.binary(max_size=200))
def test_any_bytes_below_a_header(data: bytes) -> None:
    read(codecs.BOM_UTF8 + b"prompt,seed,lora,pose_image,variation\n" + data)
