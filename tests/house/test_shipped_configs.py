"""Every configuration in train/configs loads, and its head says how it is launched."""

from pathlib import Path

import pytest

from charaforge.config import load_yaml
from charaforge.training.config import TrainingConfig

CONFIGS = sorted((Path(__file__).resolve().parents[2] / "train" / "configs").glob("*.yaml"))


_LAUNCHES = ("accelerate launch train/lora_train.py", "charaforge train")


@pytest.mark.parametrize("path", CONFIGS, ids=[path.name for path in CONFIGS])
def test_a_shipped_config_loads_and_names_its_launch_line(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AI_CACHE_ROOT", "DATASET_META", "OUTPUT_DIR"):
        monkeypatch.setenv(name, "/wh")
    rate = load_yaml(path, TrainingConfig).learning_rate
    assert 1e-4 <= rate <= 3e-3
    launches = (f"{way} --config train/configs/{path.name}\n" for way in _LAUNCHES)
    assert any(line in path.read_text() for line in launches)


def test_the_sdxl_example_says_what_users_were_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AI_CACHE_ROOT", "/wh")
    (path,) = (path for path in CONFIGS if path.name == "charA_sdxl_r16.yaml")
    config = load_yaml(path, TrainingConfig)
    assert (config.rank, config.resolution, config.train_batch_size) == (16, 1024, 2)
    assert (config.gradient_accumulation_steps, config.max_train_steps, config.save_every_steps) == (
        8,
        8000,
        1000,
    )
    assert str(config.dataset_meta) == "/wh/datasets/metadata/charA.parquet"
    assert str(config.output_dir) == "/wh/models/lora/charA_sdxl_r16_v1"
    assert config.caption_template == "[style] [character] [outfit] [pose_tag], anime style"
    assert config.use_8bit_adam
    assert not config.text_encoder_train
