"""Every configuration in train/configs loads, and its head says how it is launched."""

from pathlib import Path

import pytest

from charaforge.config import load_yaml
from charaforge.training.config import TrainingConfig

CONFIGS = sorted((Path(__file__).resolve().parents[2] / "train" / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=[path.name for path in CONFIGS])
def test_a_shipped_config_loads_and_names_its_launch_line(path: Path) -> None:
    assert load_yaml(path, TrainingConfig).learning_rate == 1e-4
    assert f"accelerate launch train/lora_train.py --config train/configs/{path.name}\n" in path.read_text()


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
