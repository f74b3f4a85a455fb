"""The road from drawn pictures to a report, with tiny real models; stopped and walked again."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from charaforge.cli.main import main
from charaforge.evaluation.pictures import read_pictures
from charaforge.evaluation.rendering import lora_hash
from charaforge.evaluation.results import Evaluation
from charaforge.evaluation.subject import load_subject
from charaforge.forge.road import RoadEnd, RoadPlan, walk
from charaforge.generation.generator import Generator
from charaforge.mini.characters import Character
from charaforge.mini.dataset import draw_character
from charaforge.perception.ccip import IdentityEncoder
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.tables import table_rows
from tests.fixtures.tiny_judges import tiny_identity
from tests.fixtures.tiny_models import tiny_sd, write_card


@pytest.fixture
def ready(warehouse: Warehouse, tmp_path: Path) -> tuple[Warehouse, Path]:
    """A warehouse with tiny models and a drawn character's table; impostors are the character's opposite."""
    tiny_sd(warehouse.sd / "tiny-sd")
    write_card(
        warehouse.sd / "tiny-sd", {"name": "tiny-sd", "kind": "base", "family": "sd15", "native_side": 64}
    )
    table = draw_character(Character.from_seed(5), tmp_path / "set", 48, warehouse)
    references = load_subject(table, "", warehouse, lambda _: ()).references
    identity = tiny_identity(warehouse.models / "identity" / "tiny", np.zeros((100, 48), np.float32))
    mean = IdentityEncoder(identity).embed(read_pictures(references)).mean(axis=0)
    opposite = -mean + np.random.default_rng(0).normal(0, 0.01, (200, 48))
    tiny_identity(identity, opposite / np.linalg.norm(opposite, axis=1, keepdims=True))
    return warehouse, table


def plan(warehouse: Warehouse, table: Path, out: Path) -> RoadPlan:
    return RoadPlan(
        table=table,
        character=Character.from_seed(5).trigger,
        model="tiny-sd",
        lora=warehouse.lora_folder("zxq"),
        training={
            "rank": 4,
            "resolution": 64,
            "max_train_steps": 4,
            "validate_every_steps": 2,
            "caption_variants": 2,
        },
        prompts=Path("docs/prompts/charA_eval_prompts.json").absolute(),
        max_prompts=3,
        seeds=2,
        out=out,
        seconds_before={"drawing": 1.0},
    )


def test_a_parquet_table_leads_there_too(ready: tuple[Warehouse, Path], tmp_path: Path) -> None:
    warehouse, table = ready
    parquet = table.with_suffix(".parquet")
    pq.write_table(pa.Table.from_pylist(table_rows(table)), parquet)
    end = walk(plan(warehouse, parquet, tmp_path / "out"), warehouse)
    assert end.evaluation.character == Character.from_seed(5).trigger


def test_from_pictures_to_report(
    ready: tuple[Warehouse, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    warehouse, table = ready
    end = walk(plan(warehouse, table, tmp_path / "out"), warehouse)
    check_page(end, tmp_path / "out")
    evaluation = end.evaluation
    assert evaluation.character == Character.from_seed(5).trigger
    assert [arm.name for arm in evaluation.arms] == ["trigger", "traits", "lora"]
    assert all(len(arm.pictures) == 6 for arm in evaluation.arms)
    assert list(evaluation.seconds)[:2] == ["drawing", "training"]
    assert evaluation.judge_model == "", "the embedded signature judge knows nothing of this base"
    command_repeats(end, warehouse, tmp_path / "out", capsys)
    same_seed = [(a.prompt_id, a.seed) for a in evaluation.arm("lora").pictures]
    assert same_seed == [(a.prompt_id, a.seed) for a in evaluation.arm("traits").pictures]


def test_stopped_while_rendering_and_walked_again(
    ready: tuple[Warehouse, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse, table = ready
    asked = plan(warehouse, table, tmp_path / "out")
    render, calls = Generator.generate_many, []

    def stopping(self: Generator, requests: list[object], **how: object) -> object:
        calls.append(len(requests))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return render(self, requests, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(Generator, "generate_many", stopping)
    with pytest.raises(KeyboardInterrupt):
        walk(asked, warehouse)
    lora = lora_hash(warehouse.lora_folder("zxq") / "zxq.safetensors")
    first = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "pictures").rglob("*.png")}
    assert len(first) == 6
    end = walk(asked, warehouse)
    check_page(end, tmp_path / "out")
    assert lora_hash(warehouse.lora_folder("zxq") / "zxq.safetensors") == lora, "not trained again"
    assert all(path.stat().st_mtime_ns == at for path, at in first.items()), "not rendered again"
    assert sum(calls) == 6 * 4 + 3 * 2, "six of them were asked for twice; 3 prompts also without a character"


def command_repeats(
    end: RoadEnd, warehouse: Warehouse, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`charaforge eval` finds model, table and character in the LoRA's folder, and says the same numbers."""
    words = ["eval", "--lora", str(end.lora), "--prompts", "docs/prompts/charA_eval_prompts.json"]
    words += ["--max-prompts", "3", "--seeds", "2", "--out", str(out)]
    low = end.evaluation.arm("lora").accepted.low
    assert main([*words, "--bar", str(round(low - 0.01, 2))]) == 0
    assert main([*words, "--pose_dir", str(out)]) == 3, "nothing here sees poses"
    assert "not measurable" in (out / "report.json").read_text(encoding="utf-8")
    assert main([*words, "--bar", "0.99"]) == 4
    assert f"report: {out / 'report.html'}" in capsys.readouterr().out
    again = Evaluation.model_validate_json((out / "report.json").read_text(encoding="utf-8"))
    assert again.arms == end.evaluation.arms
    assert again.command.startswith("charaforge eval --lora ")


def check_page(end: RoadEnd, out: Path) -> None:
    assert end.report == out / "report.html"
    assert end.report.read_text(encoding="utf-8").count("data:image/webp") > 20
    told = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert Evaluation.model_validate(told) == end.evaluation
