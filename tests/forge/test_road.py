"""What a forging refuses before it spends anything, and what it leaves of an earlier training."""

import json
from pathlib import Path

import pytest

from charaforge.cli.shipped import FRESH_PROMPTS, PROMPTS, shipped
from charaforge.cli.verbs import demo
from charaforge.cli.verbs.forge import lora_id
from charaforge.errors import NotMeasurableError, UsageError, WarehouseError
from charaforge.evaluation.prompts import load_prompts
from charaforge.evaluation.selection import parted
from charaforge.forge.deciding import evaluation_plan, suited
from charaforge.forge.effort import Effort, usual
from charaforge.forge.plan import ForgePlan
from charaforge.forge.record import Record, alone
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


def own_prompts(path: Path, count: int) -> Path:
    """A prompts file of one's own."""
    told = [
        {"id": f"p{i}", "prompt": f"1girl, [character], {i}", "expected_tags": [], "group": "g"}
        for i in range(count)
    ]
    path.write_text(json.dumps(told), encoding="utf-8")
    return path


def split(plan: ForgePlan, effort: Effort) -> tuple[int, int]:
    """How many prompts the choice and its numbers get."""
    told = evaluation_plan(plan, effort, plan.folder)
    prompts = load_prompts(told.prompts)[: told.max_prompts]
    chosen, fresh = parted(prompts, plan.fresh_prompts, told.max_prompts, told.max_fresh)
    assert not {one.id for one in chosen} & {one.id for one in fresh} or plan.fresh_prompts
    return len(chosen), len(fresh)


@pytest.mark.parametrize(
    ("count", "rule", "certificate"),
    [
        (200, (40, 40), (40, 100)),
        (140, (40, 40), (40, 100)),
        (100, (40, 40), (40, 60)),
        (60, (30, 30), (30, 30)),
        (5, (3, 2), (3, 2)),
    ],
)
def test_own_prompts_give_as_many_as_are_promised(
    tmp_path: Path, count: int, rule: tuple[int, int], certificate: tuple[int, int]
) -> None:
    plan = asked(tmp_path, prompts=own_prompts(tmp_path / "own.json", count), fresh_prompts=None)
    for promised, certified in ((rule, False), (certificate, True)):
        called_for = usual(400, certified, posed=False, sheet=True)
        effort = suited(called_for, plan)
        assert split(plan, effort) == (effort.prompts, effort.fresh) == promised
        fewer = promised != (called_for.prompts, called_for.fresh)
        assert (effort.pictures < called_for.pictures) == fewer
        assert (effort.called_for is not None) == fewer
    few = plan.model_copy(update={"max_prompts": 2})
    assert split(few, suited(called_for, few)) == (2, 2)


def test_prompts_that_came_later_count(tmp_path: Path) -> None:
    plan = asked(tmp_path, prompts=own_prompts(tmp_path / "own.json", 10), fresh_prompts=None)
    effort = suited(usual(400, certificate=False, posed=False, sheet=True), plan)
    assert split(plan, effort) == (5, 5)
    own_prompts(plan.prompts, 200)
    assert split(plan, effort) == (40, 40)
    in_time = plan.model_copy(update={"budget_s": 600})
    assert split(in_time, effort) == (5, 5), "the budget was found to be enough for these"


def test_two_files_of_prompts_are_used_as_far_as_they_go(tmp_path: Path) -> None:
    plan = asked(tmp_path)
    for certified, promised in ((False, (40, 40)), (True, (40, 100))):
        effort = suited(usual(400, certified, posed=False, sheet=True), plan)
        assert split(plan, effort) == (effort.prompts, effort.fresh) == promised
        assert effort.called_for is None
    long, short = own_prompts(tmp_path / "long.json", 200), own_prompts(tmp_path / "short.json", 50)
    plan = asked(tmp_path, prompts=long, fresh_prompts=short)
    effort = suited(effort, plan)
    assert split(plan, effort) == (effort.prompts, effort.fresh) == (40, 10), "40 of 50 have been chosen with"


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
    few = own_prompts(tmp_path / "few.json", 3)
    with pytest.raises(NotMeasurableError, match="2 prompts for the choice and 1 fresh"):
        forge(asked(tmp_path, prompts=few, fresh_prompts=None), warehouse)


def test_an_empty_folder_is_told_in_the_reports(tmp_path: Path, warehouse: Warehouse) -> None:
    plan = asked(tmp_path)
    with pytest.raises(NotMeasurableError, match="there are no pictures in"):
        forge(plan, warehouse)
    told = json.loads((plan.out / "report.json").read_text(encoding="utf-8"))
    assert told["status"] == "not measurable"
    assert "32 are needed" in told["remedy"]


def test_two_forgings_of_one_character_do_not_share_a_table(tmp_path: Path, warehouse: Warehouse) -> None:
    plan = asked(tmp_path)
    with alone(warehouse.processed / "mochi", "go"), pytest.raises(WarehouseError, match="another forging"):
        forge(plan, warehouse)
    with pytest.raises(NotMeasurableError):
        forge(plan, warehouse)


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
