"""Faults between keys of the data, all told at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from charaforge.config import load_yaml
from charaforge.errors import ConfigError
from charaforge.training.config import TrainingConfig


def load(tmp_path: Path, text: str) -> TrainingConfig:
    file = tmp_path / "run.yaml"
    file.write_text(text, encoding="utf-8")
    return load_yaml(file, TrainingConfig)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("reg_meta: a.csv\nreg_data_dir: c", "either reg_meta"),
        ("prior_loss_weight: 0.5", "prior_loss_weight does nothing without reg_data_dir"),
        ("unmasked_weight: 0.5", "unmasked_weight does nothing without mask_dir"),
        ("crop_scale: 0.5", "crop_scale does nothing without crop_variants"),
        ("buckets: false\nmax_buckets: 2", "max_buckets does nothing without buckets: true"),
        ("mask_dir: m\nalpha_mask: true", "both say what counts"),
        ("max_token_length: 77", "75, 150 or 225"),
        ("bucket_step: 20", "multiple of 8"),
    ],
)
def test_keys_that_do_nothing_or_contradict_each_other_are_refused(
    tmp_path: Path, lines: str, told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        load(tmp_path, f"output_dir: out\ntrain_data_dir: b\n{lines}\n")


def test_defaults_that_are_written_out_are_not_in_vain(tmp_path: Path) -> None:
    lines = "prior_loss_weight: 1.0\nunmasked_weight: 0.1\ncrop_scale: 0.85\nbucket_step: null"
    assert load(tmp_path, f"output_dir: out\ntrain_data_dir: b\n{lines}\n").repeats == 1


def test_faults_between_keys_are_told_with_those_of_single_keys(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, "rnak: 8\nrepeats: 0\ndataset_meta: a.csv\ntrain_data_dir: b\n")
    told = str(caught.value)
    assert "did you mean 'rank'?" in told
    assert "repeats" in told
    assert "output_dir: missing" in told
    assert "give either dataset_meta" in told
    assert "4 faults" in told
