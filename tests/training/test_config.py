from __future__ import annotations

from pathlib import Path

import pytest

from charaforge.config import dump_yaml, load_yaml
from charaforge.errors import ConfigError
from charaforge.training.config import TrainingConfig
from charaforge.training.presets import preset
from charaforge.warehouse.registry import ModelEntry

MISSION = """\
model_id: stabilityai/stable-diffusion-xl-base-1.0
resolution: 1024
rank: 16
learning_rate: 1e-4
train_batch_size: 2
gradient_accumulation_steps: 8
mixed_precision: fp16
use_8bit_adam: true
max_train_steps: 8000
dataset_meta: ${AI_CACHE_ROOT}/datasets/metadata/charA.parquet
output_dir: ${AI_CACHE_ROOT}/models/lora/charA_sdxl_r16_v1
text_encoder_train: false
tag_field: tags
caption_template: "[style] [character] [outfit] [pose_tag], anime style"
save_every_steps: 1000
"""


def load(tmp_path: Path, text: str) -> TrainingConfig:
    file = tmp_path / "run.yaml"
    file.write_text(text, encoding="utf-8")
    return load_yaml(file, TrainingConfig)


def test_the_missions_yaml_loads_unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AI_CACHE_ROOT", "/warehouse")
    config = load(tmp_path, MISSION)
    assert config.learning_rate == 1e-4
    assert config.dataset_meta == Path("/warehouse/datasets/metadata/charA.parquet")
    assert config.lora_id == "charA_sdxl_r16_v1"
    assert config.eight_bit
    assert (config.rank, config.network_alpha) == (16, 8.0)
    assert config.pictures_per_step == 16


def test_every_fault_is_told_at_once_and_an_unknown_key_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, "rnak: 8\nlearning_rate: -1\ncaption_template: '[charcter]'\ntrain_data_dir: a\n")
    told = str(caught.value)
    assert "unknown key 'rnak'; did you mean 'rank'?" in told
    assert "learning_rate" in told
    assert "unknown field [charcter]; did you mean 'character'?" in told
    assert "output_dir: missing" in told


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("", "either dataset_meta"),
        ("dataset_meta: a.csv\ntrain_data_dir: b", "either dataset_meta"),
        ("train_data_dir: b\nuse_8bit_adam: true\noptimizer: adamw", "contradict each other"),
        ("train_data_dir: b\nuse_8bit_adam: false\noptimizer: adamw8bit", "contradict each other"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(tmp_path: Path, lines: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        load(tmp_path, f"output_dir: out\n{lines}\n")


@pytest.mark.parametrize(
    "line", ["optimizer: adamw8bit", "use_8bit_adam: true", "use_8bit_adam: true\noptimizer: adamw8bit"]
)
def test_both_keys_ask_for_8_bit_adam(tmp_path: Path, line: str) -> None:
    assert load(tmp_path, f"output_dir: out\ntrain_data_dir: b\n{line}\n").eight_bit


def test_a_dumped_configuration_loads_to_an_equal_one(tmp_path: Path) -> None:
    config = load(tmp_path, "output_dir: out\ntrain_data_dir: b\nprune_tags: [blue hair]\nalpha: 3\n")
    assert load(tmp_path, dump_yaml(config)) == config


def test_convolutions_are_as_strong_as_the_rest_unless_told_otherwise() -> None:
    config = TrainingConfig(train_data_dir=Path("a"), output_dir=Path("b"), rank=8, alpha=2, conv_rank=4)
    assert config.network_conv_alpha / config.conv_rank == config.network_alpha / config.rank


def test_the_preset_of_mini_models_is_the_shipped_configuration(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATASET_META", "a.csv")
    monkeypatch.setenv("OUTPUT_DIR", "out")
    shipped = load_yaml(repository / "train" / "configs" / "mini_character.yaml", TrainingConfig)
    own = {"model_id", "dataset_meta", "output_dir"}
    mini = ModelEntry("mini-sd", "base", "sd15", repository, embedded=True, card={"max_side": 128})
    assert TrainingConfig.model_validate(preset(mini) | {k: getattr(shipped, k) for k in own}) == shipped
    assert preset(ModelEntry("other", "base", "sd15", repository, embedded=False)) == {}


def test_the_preset_of_sdxl_models_is_a_valid_configuration(repository: Path) -> None:
    told = preset(ModelEntry("illustrious", "base", "sdxl", repository, embedded=False))
    config = TrainingConfig.model_validate({**told, "train_data_dir": "a", "output_dir": "b"})
    assert (config.min_snr_gamma, config.max_token_length) == (8.0, 225)
    assert config.max_train_steps * config.pictures_per_step == 2000
    small = ModelEntry("mini-sdxl", "base", "sdxl", repository, embedded=True, card={"max_side": 128})
    assert preset(small)["rank"] == 8
