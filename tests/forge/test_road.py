"""What a forging refuses before it spends anything, and what it leaves of an earlier training."""

from pathlib import Path

import pytest

from charaforge.cli.shipped import FRESH_PROMPTS, PROMPTS, shipped
from charaforge.cli.verbs import demo
from charaforge.cli.verbs.forge import lora_id
from charaforge.errors import NotMeasurableError, UsageError
from charaforge.forge.plan import ForgePlan
from charaforge.forge.record import Record
from charaforge.forge.road import RECORD, forge, put_aside
from charaforge.warehouse.layout import Warehouse


def asked(tmp_path: Path, **changes: object) -> ForgePlan:
    (tmp_path / "pictures").mkdir(exist_ok=True)
    told = {
        "folder": tmp_path / "pictures",
        "character": "mochi",
        "model": "mini-sd",
        "lora": "mochi_mini-sd_r8",
        "dataset": "mochi",
        "out": tmp_path / "out",
        "prompts": shipped(PROMPTS),
        "fresh_prompts": shipped(FRESH_PROMPTS),
    }
    return ForgePlan.model_validate(told | changes)


def test_prompts_are_looked_at_before_anything_is_done(tmp_path: Path, warehouse: Warehouse) -> None:
    gone = tmp_path / "gone.json"
    for key in ("prompts", "fresh_prompts"):
        with pytest.raises(UsageError, match="cannot read the prompts"):
            forge(asked(tmp_path, **{key: gone}), warehouse)
    faulty = tmp_path / "faulty.json"
    faulty.write_text('[{"id": "a"}, {"id": "b"}]', encoding="utf-8")
    with pytest.raises(NotMeasurableError, match="prompt 1"):
        forge(asked(tmp_path, fresh_prompts=faulty), warehouse)
    assert "prompt 1" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    with pytest.raises(NotMeasurableError, match="1 prompt for the choice and 1 fresh"):
        forge(asked(tmp_path, fresh_prompts=None, max_prompts=2), warehouse)


def test_the_lora_of_another_character_is_not_touched(tmp_path: Path, warehouse: Warehouse) -> None:
    """Two names that file names cannot tell apart, or the same --lora for somebody else."""
    plan = asked(tmp_path)
    Record(plan.out / RECORD, {}).make(plan.lora, "anna")
    state = warehouse.lora_folder(plan.lora) / "state"
    state.mkdir(parents=True)
    with pytest.raises(UsageError, match="holds another LoRA, that of anna"):
        forge(plan, warehouse)
    assert state.is_dir()


def test_a_demo_is_told_of_an_option_that_it_has(tmp_path: Path, warehouse: Warehouse) -> None:
    plan = asked(tmp_path)
    (warehouse.lora_folder(plan.lora) / "state").mkdir(parents=True)
    with pytest.raises(UsageError, match="which this forging did not make") as caught:
        demo._walk(plan, warehouse)
    assert "--fresh" in caught.value.hint
    assert "--lora" not in caught.value.hint


def test_names_that_cannot_be_spelt_stay_apart() -> None:
    assert lora_id("mochi", "mini-sd", 8) == "mochi_mini-sd_r8"
    assert lora_id("a b", "mini-sd", 8) == "a-b_mini-sd_r8"
    names = [lora_id(name, "mini-sd", 8) for name in ("初音", "楽", "Zoë", "Zo")]
    assert len(set(names)) == 4
    for name in names:
        assert name.isascii()
        assert name[0].isalnum()


def test_an_earlier_training_is_put_aside_with_what_was_said_of_it(tmp_path: Path) -> None:
    lora = tmp_path / "mochi"
    for turn in (1, 2):
        (lora / "checkpoints").mkdir(parents=True)
        for name in ("checkpoints/mochi-step00000002.safetensors", "CERTIFICATE.md", "chosen.json"):
            (lora / name).write_text(str(turn), encoding="utf-8")
        put_aside(lora)
        put_aside(lora)
        aside = lora / f"checkpoints-{turn}"
        found = {path.name: path.read_text(encoding="utf-8") for path in aside.iterdir()}
        names = ("mochi-step00000002.safetensors", "CERTIFICATE.md", "chosen.json")
        assert found == dict.fromkeys(names, str(turn))
    assert sorted(path.name for path in lora.iterdir()) == ["checkpoints-1", "checkpoints-2"]
