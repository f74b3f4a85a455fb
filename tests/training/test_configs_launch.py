"""Every shipped configuration runs as its head says: a real launch of two steps, on a mini model."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from charaforge.config.yaml_file import load_yaml
from charaforge.training.config import TrainingConfig
from charaforge.warehouse.layout import Warehouse
from tests.fixtures.tiny_models import tiny_sd
from tests.fixtures.tiny_sdxl import tiny_sdxl

CONFIGS = sorted((Path(__file__).resolve().parents[2] / "train" / "configs").glob("*.yaml"))
_TABLE = "image_path,character,outfit,pose_tag,style,tags,source,split,notes\n"


def of_two_steps(path: Path, folder: Path, table: Path, base: str) -> Path:
    """Write the configuration anew: all its keys, but the base, the pictures and the sizes."""
    told = yaml.safe_load(re.sub(r"\$\{\w+\}", str(folder), path.read_text(encoding="utf-8")))
    told.pop("train_data_dir", None)
    told |= {
        "model_id": base,
        "dataset_meta": str(table),
        "output_dir": str(folder / "zxq"),
        "resolution": 64,
        "max_train_steps": 2,
        "train_batch_size": 2,
        "gradient_accumulation_steps": min(told.get("gradient_accumulation_steps", 1), 2),
        "caption_variants": 2,
        "prediction_type": "auto",
        "zero_terminal_snr": "auto",
        "validate_every_steps": 2,
        "sample_every_steps": 0,
        "sample_prompts": [],
    }
    told.pop("reg_meta", None)
    told.pop("reg_data_dir", None)
    file = folder / path.name
    file.write_text(yaml.safe_dump(told), encoding="utf-8")
    load_yaml(file, TrainingConfig)
    return file


@pytest.mark.slow
@pytest.mark.parametrize("path", CONFIGS, ids=[path.stem for path in CONFIGS])
def test_a_shipped_configuration_trains_two_steps_under_accelerate(
    path: Path, warehouse: Warehouse, pictures: Path, tmp_path: Path, repository: Path
) -> None:
    sdxl = "xl" in path.read_text(encoding="utf-8").lower()
    base = tiny_sdxl(warehouse.sdxl / "tiny-base") if sdxl else tiny_sd(warehouse.sd / "tiny-base")
    table = tmp_path / "table.csv"
    rows = [
        f'{file},zxq,,,anime,"girl, blue hair, smile",,train,\n' for file in sorted(pictures.glob("*.png"))
    ]
    table.write_text(_TABLE + "".join(rows), encoding="utf-8")
    config = of_two_steps(path, tmp_path, table, base.name)
    command = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_machines=1"]
    command += ["--num_processes=1", "train/lora_train.py", "--config", str(config)]
    done = subprocess.run(
        command,
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=dict(os.environ),
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "zxq" / "zxq.safetensors").is_file()
    shutil.rmtree(tmp_path / "zxq")
