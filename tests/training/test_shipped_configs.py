"""Must show 8: every configuration in train/configs passes `charaforge train --check` against a table."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from charaforge.cli.main import main
from charaforge.warehouse.layout import Warehouse
from tests.fixtures.tiny_models import tiny_sd
from tests.fixtures.tiny_sdxl import tiny_sdxl
from tests.training.conftest import write_picture
from tests.training.test_config import MISSION

CONFIGS = Path(__file__).resolve().parents[2] / "train" / "configs"
NAMES = sorted(path.name for path in CONFIGS.glob("*.yaml"))
BASES = {"mini_character.yaml": "tiny-sd", "charA_sd15_r16.yaml": "tiny-sd", "noobai_vpred.yaml": "tiny-v"}
BASES |= {"sd15_low_vram_6gb.yaml": "tiny-sd"}


@pytest.fixture
def stocked(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    """A warehouse with tiny bases of all kinds, and two tables of ten pictures."""
    tiny_sd(warehouse.sd / "tiny-sd")
    tiny_sdxl(warehouse.sdxl / "tiny-sdxl")
    velocity = tiny_sdxl(warehouse.sdxl / "tiny-v")
    card = json.loads((velocity / "card.json").read_text(encoding="utf-8"))
    card |= {"prediction_type": "v_prediction", "zero_terminal_snr": True}
    (velocity / "card.json").write_text(json.dumps(card), encoding="utf-8")
    rows = []
    for number in range(10):
        picture = warehouse.raw / f"{number}.png"
        write_picture(picture, number, (96, 128) if number % 3 else (128, 96))
        row = {
            "image_path": warehouse.portable(picture),
            "character": "mai",
            "style": "ink",
            "split": "train",
        }
        rows.append(
            row | {"outfit": ("hoodie", "dress")[number > 7], "pose_tag": "standing", "tags": "girl, smile"}
        )
    mixed = [row | {"character": f"girl {n % 3}"} for n, row in enumerate(rows)]
    parquet.write_table(pa.Table.from_pylist(rows), warehouse.metadata / "charA.parquet")
    parquet.write_table(pa.Table.from_pylist(mixed), warehouse.metadata / "my_style.parquet")
    monkeypatch.setenv("DATASET_META", str(warehouse.metadata / "charA.parquet"))
    monkeypatch.setenv("OUTPUT_DIR", str(warehouse.lora / "out"))
    return warehouse


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_configuration_passes_the_check(
    stocked: Warehouse, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "--config", str(CONFIGS / name), "--model", BASES.get(name, "tiny-sdxl")]
    assert main([*words, "--check", "--vram", "24"]) == 0
    told = capsys.readouterr().out
    assert "into 24.00 GiB; largest batch" in told
    assert "captions are cut off" in told
    assert not list(stocked.lora.rglob("*.safetensors"))


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_configuration_says_what_it_is_for(name: str) -> None:
    head, _, _ = (CONFIGS / name).read_text(encoding="utf-8").partition("\n\n")
    assert all(line.startswith("#") for line in head.splitlines())
    for word in ("# Trains a", "# Needs:", "# Launch:", "# Result:"):
        assert word in head


def test_the_sdxl_example_is_the_missions_text() -> None:
    text = (CONFIGS / "charA_sdxl_r16.yaml").read_text(encoding="utf-8")
    assert text.partition("\n\n")[2] == MISSION
