from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from safetensors.torch import load_file
from torch import Tensor, nn

from charaforge.config import load_yaml
from charaforge.diffusion.bundle import Bundle, load_bundle
from charaforge.diffusion.lora_adapters import activate, attach
from charaforge.diffusion.lora_format import read_lora
from charaforge.training.cache import TensorCache
from charaforge.training.checkpoint import RunState
from charaforge.training.config import TrainingConfig
from charaforge.training.export import Exporter
from charaforge.training.loop import take_step
from charaforge.training.reading import Reader
from charaforge.training.run import run
from charaforge.training.setup import build
from charaforge.warehouse.layout import Warehouse
from tests.training.conftest import MakeConfig, Prepare

KINDS = [{}, {"alpha": 4}, {"alpha": 1, "conv_rank": 2}, {"text_encoder_train": True}]


CONFIG = TrainingConfig(train_data_dir=Path("pictures"), output_dir=Path("out"))


def outputs(unet: nn.Module, context: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(2, 8, 8, 8, generator=generator)
    with torch.no_grad():
        found: Tensor = unet(latents, torch.tensor([300, 700]), context.expand(2, -1, -1)).sample
    return found


def outputs_of(bundle: Bundle) -> Tensor:
    with torch.no_grad():
        return outputs(bundle.unet, Reader(bundle, CONFIG).encode(["zxq, girl, smile"])[0].states)


@pytest.mark.parametrize("changes", KINDS)
def test_the_file_gives_the_training_time_output_in_diffusers_and_in_our_engine(
    make_config: MakeConfig, prepared: Prepare, tiny: Warehouse, tmp_path: Path, changes: dict[str, object]
) -> None:
    run_ = prepared(make_config(**changes))
    setup = build(run_, TensorCache(tmp_path / "cache"))
    for step in range(2):
        take_step(setup, RunState(step=step))
    setup.adapter.load_state({name: w.half().float() for name, w in setup.adapter.state().items()})
    expected = outputs_of(run_.base.bundle)
    exporter = Exporter(tmp_path / "zxq", run_)
    exporter.finish(setup.adapter, 2)

    folder = tiny.sd / "tiny-sd"
    pipeline = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None, local_files_only=True)
    ids = pipeline.tokenizer("zxq, girl, smile", padding="max_length", return_tensors="pt").input_ids
    with torch.no_grad():
        plain = outputs(pipeline.unet, pipeline.text_encoder(ids)[0])
    pipeline.load_lora_weights(exporter.lora_file.parent, weight_name=exporter.lora_file.name)
    with torch.no_grad():
        in_diffusers = outputs(pipeline.unet, pipeline.text_encoder(ids)[0])

    bundle = load_bundle(folder, "tiny-sd")
    attach(bundle, read_lora(exporter.lora_file), "zxq")
    activate(bundle, {"zxq": 1.0})
    assert (expected - plain).abs().max() > 1e-3
    assert (in_diffusers - expected).abs().max() <= 1e-5
    assert (outputs_of(bundle) - expected).abs().max() <= 1e-5


def test_the_folder_holds_what_the_contract_says(make_config: MakeConfig, tiny: Warehouse) -> None:
    config = make_config(output_dir=tiny.lora_folder("zxq_r4"), save_every_steps=2, use_8bit_adam=False)
    result = run(config, tiny)
    folder = tiny.lora_folder("zxq_r4")
    assert result.lora_file == folder / "zxq_r4.safetensors"
    assert sorted(p.name for p in (folder / "checkpoints").iterdir()) == [
        "zxq_r4-step00000002.safetensors",
        "zxq_r4-step00000004.safetensors",
    ]
    assert load_yaml(folder / "resolved_config.yaml", TrainingConfig).resolution == 64
    card = (folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    for told in ("tiny-sd", "Its trigger is `zxq`", "7 pictures were trained on", "## Limits", "Apache-2.0"):
        assert told in card
    assert str(tiny.root) not in card


def test_the_file_is_kohyas_with_its_metadata(make_config: MakeConfig, tiny: Warehouse) -> None:
    config = make_config(conv_rank=2, rank=4, alpha=1.5)
    file = run(config, tiny).lora_file
    tensors = load_file(file)
    layer = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
    assert tensors[f"{layer}.lora_down.weight"].shape == (4, 32)
    assert tensors[f"{layer}.lora_up.weight"].shape == (64, 4)
    assert tensors[f"{layer}.alpha"].item() == 1.5
    assert tensors["lora_unet_down_blocks_0_resnets_0_conv1.lora_down.weight"].shape == (2, 32, 3, 3)
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}

    told = read_lora(file).metadata
    assert told["ss_base_model_version"] == "sd_v1"
    assert (told["ss_network_dim"], told["ss_network_alpha"], told["ss_steps"]) == ("4", "1.5", "4")
    assert json.loads(told["ss_network_args"]) == {"conv_dim": "2", "conv_alpha": "0.75"}
    assert json.loads(told["ss_tag_frequency"])["pictures"]["girl"] == 7
    assert json.loads(told["ss_bucket_info"])["buckets"]["1"]["resolution"] == [64, 64]
    assert told["modelspec.trigger_phrase"] == "zxq"
    assert told["modelspec.prediction_type"] == "v"


def test_what_is_not_done_as_asked_is_told_once_and_recorded(
    make_config: MakeConfig, tiny: Warehouse, caplog: pytest.LogCaptureFixture
) -> None:
    config = make_config(mixed_precision="fp16", max_train_steps=1)
    caplog.set_level("INFO", "charaforge")
    run(config, tiny)
    told = "mixed_precision: fp16 needs a GPU; this run computes in fp32"
    assert caplog.text.count(told) == 1
    assert told in (config.output_dir / "events.jsonl").read_text(encoding="utf-8")
