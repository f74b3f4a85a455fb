"""What a comparison says: of one LoRA under two names, and of two that are too good for so few prompts."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from charaforge.cli.main import main
from charaforge.evaluation.catalogue import records
from charaforge.evaluation.comparison import Comparison, comparison_text, prompts_needed
from charaforge.evaluation.results import ArmResult, PromptRecord
from charaforge.evaluation.statistics import difference, share
from charaforge.evaluation.threshold import Threshold
from charaforge.warehouse.layout import Warehouse

TABLE = "image_path,character,split\na.png,zxq,ref\n"


@pytest.fixture
def three(warehouse: Warehouse) -> tuple[str, str, str]:
    """A LoRA, the same again, and another one."""
    for name, value in (("one", 1), ("again", 1), ("other", 2)):
        folder = warehouse.lora_folder(name)
        folder.mkdir()
        save_file({"w": np.full(2, value, np.float32)}, folder / f"{name}.safetensors")
    return "one", "again", "other"


def asked(a: str, b: str, folder: Path, *more: str) -> int:
    (folder / "t.csv").write_text(TABLE, encoding="utf-8")
    words = ["compare", a, b, "--prompts", "docs/prompts/charA_eval_prompts.json", "--model", "mini-sd"]
    return main([*words, "--dataset", str(folder / "t.csv"), "--out", str(folder / "out"), *more])


def test_the_same_lora_is_told_as_such_and_passes(
    three: tuple[str, str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, again, other = three
    for second in (one, again):
        assert asked(one, second, tmp_path, "--character", "zxq") == 0
        assert "it is the same LoRA" in capsys.readouterr().out
        report = (tmp_path / "out" / "comparison.md").read_text(encoding="utf-8")
        assert report.startswith(f"# {one} and {second}: it is the same LoRA\n")
    assert not (tmp_path / "out" / "pictures").exists()
    assert asked(one, other, tmp_path, "--character", "zxq") == 3, "one reference is not enough for these"


def test_one_lora_asked_for_by_two_words_is_compared(
    three: tuple[str, str, str], warehouse: Warehouse, tmp_path: Path
) -> None:
    record = warehouse.lora_folder("again") / "resolved_config.yaml"
    for word, code in (("zxq", 0), ("another word", 3)):
        record.write_text(f"model_id: mini-sd\ncharacter: {word}\n", encoding="utf-8")
        assert asked("one", "again", tmp_path) == code


def test_b_is_asked_for_by_its_own_word(
    three: tuple[str, str, str], warehouse: Warehouse, tmp_path: Path
) -> None:
    """Both are one LoRA: by one word there is nothing to compare, by two the references are too few."""
    record = warehouse.lora_folder("again") / "resolved_config.yaml"
    for trained, words, code in (
        ("zxq", [], 0),
        ("another word", [], 3),
        ("another word", ["--trigger-b", "zxq"], 0),
        ("zxq", ["--trigger-b", "another word"], 3),
        (None, [], 0),
    ):
        record.unlink(missing_ok=True)
        if trained:
            record.write_text(f"model_id: mini-sd\ncharacter: {trained}\n", encoding="utf-8")
        assert asked("one", "again", tmp_path, "--character", "zxq", *words) == code, (trained, words)


def test_a_word_that_nothing_says_is_asked_for(
    three: tuple[str, str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked("one", "again", tmp_path) == 2
    assert "which word triggers again" in capsys.readouterr().err


def comparison(prompts: int, a: float = 1.0, b: float = 1.0, margin: float = 0.05) -> Comparison:
    """Two LoRAs that are accepted in all pictures but those of the last prompts."""
    flags = [np.repeat(np.arange(prompts)[:, None] < part * prompts, 4, axis=1) for part in (a, b)]
    arms = [
        ArmResult(
            name=name,
            label=name,
            character_words=name,
            accepted=share(one),
            within_alone=float(one.mean()),
            signature=None,
            measures=(),
            pictures=(),
        )
        for name, one in zip(("a", "b"), flags, strict=True)
    ]
    return Comparison(
        character="zxq",
        model="mini-sd",
        a=arms[0],
        b=arms[1],
        sha256=("1", "2"),
        gain=difference(*flags),
        margin=margin,
        metrics=records(),
        prompts=tuple(PromptRecord(id=f"{i}", prompt="[character]", group="") for i in range(prompts)),
        seeds=(1, 2, 3, 4),
        threshold=Threshold(0.5, "real", 100, 1, 0.0, 0.1),
        settings={},
        warnings=(),
        environment={},
        command="charaforge compare a b",
    )


def test_two_perfect_loras_need_more_prompts() -> None:
    few, enough = comparison(40), comparison(100)
    assert not few.passed
    assert "give 100 prompts" in few.advice
    assert few.advice in comparison_text(few)
    assert enough.passed
    assert not enough.advice
    assert "give 100 prompts" in comparison(40, b=0.975).advice
    assert not comparison(40, 0.5, 0.5).advice, "more prompts may not help these"
    assert not comparison(40, 0.0, 1.0).advice
    assert not comparison(40, margin=0.0).advice, "no number of prompts shows that two are equal"
    assert (prompts_needed(0.05, 4), prompts_needed(0.0, 4)) == (100, 0)
