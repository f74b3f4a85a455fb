"""`charaforge eval`: what it says when something is missing, before anything is rendered."""

import argparse
import json
from pathlib import Path

import pytest

from charaforge.cli.eval_options import command_of
from charaforge.cli.main import load_verb, main
from charaforge.warehouse.layout import Warehouse

PROMPTS = "docs/prompts/charA_eval_prompts.json"


def asked(lora: str, tmp_path: Path, *more: str) -> list[str]:
    return ["eval", "--lora", lora, "--prompts", PROMPTS, "--out", str(tmp_path / "out"), *more]


@pytest.fixture
def lora(warehouse: Warehouse) -> Path:
    folder = warehouse.lora_folder("charA_sd15_r16_v1")
    folder.mkdir()
    from safetensors.numpy import save_file

    save_file({}, folder / "charA_sd15_r16_v1.safetensors")
    return folder


def test_an_unknown_lora_names_the_nearest(
    lora: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(asked("charA_sd15_r8_v1", tmp_path)) == 2
    assert "charA_sd15_r16_v1" in capsys.readouterr().err


def test_a_lora_elsewhere(warehouse: Warehouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stray = tmp_path / "stray.safetensors"
    stray.touch()
    assert main(asked(str(stray), tmp_path)) == 2
    assert str(warehouse.lora) in capsys.readouterr().err


def test_without_references_nothing_is_measured(
    lora: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(asked(str(lora), tmp_path)) == 3
    assert "--dataset" in capsys.readouterr().err


def test_without_a_base_it_asks(lora: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(asked(lora.name, tmp_path, "--dataset", str(tmp_path / "t.csv"))) == 2
    assert "--model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("verb", "words"),
    [("eval", "--lora a --weight 0.0 --drift-prompts 0"), ("compare", "x y --weight 0.0 --margin 0.0")],
)
def test_the_command_that_is_told_measures_the_same(verb: str, words: str) -> None:
    parser = argparse.ArgumentParser()
    load_verb(verb).add_arguments(parser)
    args = parser.parse_args([*words.split(), "--prompts", "p.json", "--out", "o"])
    again = command_of(args).split()
    assert again[:2] == ["charaforge", verb]
    assert parser.parse_args(again[2:]) == args


def test_a_margin_that_lets_everything_pass(
    lora: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["compare", lora.name, lora.name, "--prompts", PROMPTS, "--out", str(tmp_path)]
    for margin in ("2", "-0.1", "nan"):
        assert main([*words, f"--margin={margin}"]) == 2
        assert "--margin" in capsys.readouterr().err


def test_what_cannot_be_compared_has_a_report(lora: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "comparison.md").write_text("# an earlier one", encoding="utf-8")
    assert main(["compare", lora.name, lora.name, "--prompts", PROMPTS, "--out", str(out)]) == 3
    assert (out / "comparison.md").read_text(encoding="utf-8").startswith("# Not measurable")
    assert json.loads((out / "comparison.json").read_text(encoding="utf-8"))["status"] == "not measurable"


def test_all_faulty_options_at_once(lora: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--dataset", "t.csv", "--model", "mini-sd", "--seeds", "0", "--bar", "1.5"]
    assert main(asked(lora.name, tmp_path, *options)) == 2
    told = capsys.readouterr().err
    assert "seeds" in told
    assert "bar" in told
