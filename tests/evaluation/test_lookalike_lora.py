"""The last negative control, with a LoRA that was really trained: the lookalike's is not the character's."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from charaforge.cli.main import main
from charaforge.errors import ExitCode
from charaforge.evaluation.report.schema import read_report
from charaforge.evaluation.results import Evaluation, PictureScore
from charaforge.mini.characters import Character
from charaforge.mini.dataset import draw_character
from charaforge.warehouse.layout import Warehouse

SEED, STEPS, PROMPTS = 4242, 120, 20


def share_of(pictures: Sequence[PictureScore], signature: str) -> float:
    return sum(picture.signature == signature for picture in pictures) / len(pictures)


@pytest.mark.launch
def test_the_lora_of_a_lookalike_and_the_base_alone_prove_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repository: Path
) -> None:
    """The lookalike has the same hair and eyes, and another signature, which its LoRA has learnt."""
    monkeypatch.setenv("AI_CACHE_ROOT", str(tmp_path / "warehouse"))
    warehouse = Warehouse(tmp_path / "warehouse")
    itself, other = Character.from_seed(SEED), Character.from_seed(SEED).lookalike()
    own = draw_character(itself, tmp_path / "own", 40, warehouse)
    foreign = draw_character(other, tmp_path / "foreign", 40, warehouse)
    lora = warehouse.lora_folder("lookalike")
    told = ["--data", str(foreign), "--character", other.trigger, "--model", "mini-sd"]
    assert main(["train", *told, "--steps", str(STEPS), "--out", str(lora)]) == 0
    prompts = repository / "docs" / "prompts" / "charA_eval_prompts.json"
    few = ["--max-prompts", str(PROMPTS), "--seeds", "1", "--drift-prompts", "0"]
    assert other.signature is not None
    shown = f"{other.signature.color} {other.signature.kind}"
    out = tmp_path / "out"
    asked = ["--lora", "lookalike", "--lookalike", "lookalike", "--dataset", str(own)]
    asked += ["--character", itself.trigger, "--prompts", str(prompts), "--out", str(out)]
    assert main(["eval", *asked, *few]) == ExitCode.FAILED
    found = read_report(out / "report.json")
    assert isinstance(found, Evaluation)
    assert share_of(found.arm("lookalike").pictures, shown) >= 0.7, "it has learnt its own"
    for name in ("lookalike", "lora", "trigger"):
        assert found.arm(name).accepted.estimate <= 0.10, name
    assert found.ceiling.accepted.estimate >= 0.9, "and the character's own pictures are accepted"
