"""`charaforge lora`, every action of it, on the embedded mini model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from charaforge.cli.main import main
from charaforge.diffusion.bundle import Bundle, load_bundle
from charaforge.diffusion.lora_format import read_lora
from charaforge.evaluation.publish import with_header
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.recommended import NUMBERS_KEY
from charaforge.warehouse.registry import Registry
from tests.fixtures.tiny_loras import note_choice, random_lora

BASE = "mini-sd"

HINT = "modelspec.usage_hint"


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    entry = Registry(Warehouse(tmp_path_factory.mktemp("warehouse"))).get(BASE, "base")
    return load_bundle(entry.path, BASE, card=entry.card)


@pytest.fixture
def lora(mini: Bundle, tmp_path: Path) -> Path:
    return random_lora(tmp_path / "charA.safetensors", mini, seed=1)


@pytest.fixture
def other(mini: Bundle, tmp_path: Path) -> Path:
    return random_lora(tmp_path / "charB.safetensors", mini, seed=2)


def test_info(lora: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lora", "info", str(lora)]) == 0
    said = capsys.readouterr().out
    for told in (
        "LoRA:      charA",
        "sd15, mini-sd",
        "trigger:   zxq",
        "ranks:     4",
        "alphas:    2",
        "AutoV3",
    ):
        assert told in said
    assert main(["lora", "info", "--json", str(lora)]) == 0
    assert json.loads(capsys.readouterr().out)["trigger"] == "zxq"
    assert main(["lora", "info", "--layers", str(lora)]) == 0
    assert "mid_block_attentions_0_proj_in  LoRA  rank 4  alpha 2" in capsys.readouterr().out


def test_info_of_a_lora_by_its_name(
    lora: Path, warehouse: Warehouse, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = warehouse.lora_folder("charA")
    folder.mkdir()
    lora.rename(folder / "charA.safetensors")
    assert main(["lora", "info", "charA"]) == 0
    assert main(["lora", "info", str(folder)]) == 0
    assert main(["lora", "info", "charX"]) == 2
    assert "charA" in capsys.readouterr().err


def test_convert_there_and_back(lora: Path, tmp_path: Path) -> None:
    there, back = tmp_path / "there.safetensors", tmp_path / "back.safetensors"
    convert = ["lora", "convert", "--base", BASE]
    assert main([*convert, str(lora), "--to", "diffusers", "--out", str(there)]) == 0
    assert all(".lora_" in key for key in load_file(there))
    assert main([*convert, str(there), "--to", "kohya", "--out", str(back), "--precision", "fp16"]) == 0
    assert load_file(back).keys() == load_file(lora).keys()
    assert back.stat().st_size < 0.7 * lora.stat().st_size


def test_resize(lora: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "small.safetensors"
    note_choice(lora, weight=1.2, chosen_step=50, ccr_low=0.9)
    lora.write_bytes(with_header(lora.read_bytes(), {HINT: "write zxq first, weight 1.2"}))
    assert main(["lora", "resize", str(lora), "--base", BASE, "--rank", "2", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "ranks:  2 to 2, mean 2.0" in said
    assert "% of the change; most in lora_" in said
    with safe_open(out, "pt") as file:
        told = file.metadata()
    assert (told["ss_network_dim"], told["ss_network_alpha"]) == ("2", "1")
    assert told["ss_training_comment"].startswith("resized from rank 4 to 2 to 2")
    assert told["modelspec.trigger_phrase"] == "zxq"
    assert NUMBERS_KEY not in told, "the numbers are those of the whole one"
    assert told[HINT] == "write zxq first"
    dynamic = [
        *("lora", "resize", str(lora), "--base", BASE, "--rank", "4"),
        "--sv-fro",
        "0.6",
        "--sv-ratio",
        "8",
    ]
    assert main([*dynamic, "--out", str(out), "--force"]) == 0


def test_merge_two(lora: Path, other: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "both.safetensors"
    assert main(["lora", "merge", f"{lora}:0.8", f"{other}:0.5:0", "--base", BASE, "--out", str(out)]) == 0
    assert "ranks up to 8" in capsys.readouterr().out
    both = read_lora(out)
    assert both.metadata["ss_training_comment"] == "merged of charA:0.8, charB:0.5"
    words = next(layer for name, layer in both.layers.items() if name.startswith("lora_te"))
    assert float(words.up[:, 4:].abs().max()) == 0.0  # type: ignore[attr-defined]
    small = ["--rank", "4", "--out", str(tmp_path / "small.safetensors")]
    assert main(["lora", "merge", str(lora), str(other), "--base", BASE, *small]) == 0
    assert main(["lora", "merge", str(lora), "--base", BASE, "--out", str(tmp_path / "x.safetensors")]) == 2


def test_merge_into_a_model_and_extract_it_again(
    lora: Path, mini: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, out = tmp_path / "tuned.safetensors", tmp_path / "again.safetensors"
    into = ["lora", "merge", f"{lora}:0.5", "--into", BASE, "--precision", "fp32", "--out", str(model)]
    assert main(into) == 0
    tuned = load_bundle(model, "tuned")
    assert tuned.schedule.prediction == mini.schedule.prediction
    extract = ["lora", "extract", str(model), "--base", BASE, "--rank", "4", "--conv-rank", "4"]
    assert main([*extract, "--precision", "fp32", "--out", str(out)]) == 0
    assert "lost:   0.0" in capsys.readouterr().out
    name = "lora_unet_mid_block_attentions_0_proj_in"
    weight = torch.zeros(read_lora(lora).layers[name].shape)
    whole, again = (read_lora(path).layers[name].delta(weight) for path in (lora, out))
    assert torch.allclose(again, 0.5 * whole, atol=1e-4)


def test_what_is_asked_wrongly_is_said(
    lora: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out.safetensors")
    ask = {
        "published one": ["convert", str(lora), "--to", "kohya", "--out", out],
        "does not end in .safetensors": ["convert", str(lora), "--to", "kohya", "--out", "a.ckpt"],
        "is there already": ["resize", str(lora), "--rank", "2", "--out", str(lora)],
        "is no LORA[:W[:T]]": ["merge", f"{lora}:much", str(lora), "--out", out],
    }
    said = {}
    for told, words in ask.items():
        assert main(["lora", *words]) in (1, 2)
        said[told] = capsys.readouterr().err
    assert "give the base that the LoRA was made for with --base" in said.pop("published one")
    assert all(told in text for told, text in said.items())
