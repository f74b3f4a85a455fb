from __future__ import annotations

import base64
import hashlib
import io
import json
from pathlib import Path

import pytest
import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from charaforge.config import load_yaml
from charaforge.diffusion.bundle import Bundle, load_bundle
from charaforge.diffusion.lora_adapters import activate, attach
from charaforge.diffusion.lora_format import read_lora, write_lora
from charaforge.diffusion.lora_updates import LoraLayer
from charaforge.training.cache import TensorCache
from charaforge.training.checkpoint import RunState
from charaforge.training.config import TrainingConfig
from charaforge.training.export import Exporter
from charaforge.training.loop import take_step
from charaforge.training.reading import Reader
from charaforge.training.run import run
from charaforge.training.setup import build, identity
from charaforge.warehouse.layout import Warehouse
from tests.fixtures.tiny_sdxl import tiny_sdxl
from tests.training.conftest import MakeConfig, Prepare

KINDS = [{}, {"alpha": 4}, {"alpha": 1, "conv_rank": 2}, {"text_encoder_train": True}]


CONFIG = TrainingConfig(train_data_dir=Path("pictures"), output_dir=Path("out"))


def outputs(unet: nn.Module, context: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(2, 8, 8, 8, generator=generator)
    with torch.no_grad():
        found: Tensor = unet(latents, torch.tensor([300, 700]), context.expand(2, -1, -1)).sample
    return found


def outputs_of(bundle: Bundle, speaker: Bundle | None = None) -> Tensor:
    """What a model draws of words; another bundle's text encoder where its own was let go of."""
    with torch.no_grad():
        words = Reader(speaker or bundle, CONFIG).encode(["zxq, girl, smile"])[0].states
        return outputs(bundle.unet, words)


@pytest.mark.parametrize("changes", KINDS)
def test_the_file_gives_the_training_time_output_in_diffusers_and_in_our_engine(
    make_config: MakeConfig, prepared: Prepare, tiny: Warehouse, tmp_path: Path, changes: dict[str, object]
) -> None:
    run_ = prepared(make_config(**changes))
    setup = build(run_, TensorCache(tmp_path / "cache"))
    for step in range(2):
        take_step(setup, RunState(step=step))
    setup.adapter.load_state({name: w.half().float() for name, w in setup.adapter.state().items()})
    folder = tiny.sd / "tiny-sd"
    bundle = load_bundle(folder, "tiny-sd")
    expected = outputs_of(run_.base.bundle, None if run_.config.text_encoder_train else bundle)
    exporter = Exporter(tmp_path / "zxq", run_)
    exporter.finish(setup.adapter, 2)

    pipeline = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None, local_files_only=True)
    ids = pipeline.tokenizer("zxq, girl, smile", padding="max_length", return_tensors="pt").input_ids
    with torch.no_grad():
        plain = outputs(pipeline.unet, pipeline.text_encoder(ids)[0])
    pipeline.load_lora_weights(exporter.lora_file.parent, weight_name=exporter.lora_file.name)
    with torch.no_grad():
        in_diffusers = outputs(pipeline.unet, pipeline.text_encoder(ids)[0])

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


KOHYAS_KEYS = (
    "base_model_version v2 network_module network_dim network_alpha network_args output_name sd_model_name "
    "sd_model_hash new_sd_model_hash clip_skip bucket_info dataset_dirs tag_frequency learning_rate unet_lr "
    "text_encoder_lr num_train_images num_reg_images num_epochs epoch steps max_train_steps lr_scheduler "
    "lr_warmup_steps optimizer mixed_precision seed resolution noise_offset multires_noise_iterations "
    "multires_noise_discount min_snr_gamma zero_terminal_snr loss_type caption_dropout_rate "
    "caption_dropout_every_n_epochs caption_tag_dropout_rate shuffle_caption keep_tokens cache_latents "
    "gradient_checkpointing gradient_accumulation_steps session_id sd_scripts_commit_hash training_comment"
)
MODELSPEC = "sai_model_spec architecture implementation title resolution prediction_type trigger_phrase tags"


def test_an_sdxl_lora_is_visible_and_tells_all(
    make_config: MakeConfig, tiny: Warehouse, tmp_path: Path
) -> None:
    """Pain point 8: names of sgm, the family in the header, trigger, prediction type, hashes, alpha."""
    base = tiny_sdxl(tmp_path / "tiny-sdxl")
    config = make_config(
        model_id=str(base),
        max_train_steps=1,
        text_encoder_train=True,
        use_dora=True,
        ema_decay=0.9,
        save_precision="fp32",
        thumbnail="picture",
        author="A",
        license="CC0-1.0",
        comment="a test",
    )
    file = run(config, tiny).lora_file
    told = read_lora(file).metadata
    missing = [key for key in KOHYAS_KEYS.split() if f"ss_{key}" not in told]
    assert missing == []
    assert [key for key in MODELSPEC.split() if not told[f"modelspec.{key}"]] == []
    assert told["ss_base_model_version"] == "sdxl_base_v1-0"
    assert told["modelspec.architecture"] == "stable-diffusion-xl-v1-base/lora"
    assert told["modelspec.prediction_type"] == "epsilon"
    assert told["modelspec.license"] == "CC0-1.0"
    assert "ss_training_started_at" not in told
    assert json.loads(told["ss_network_args"]) == {"dora_wd": "True", "ema_decay": "0.9"}
    picture = base64.b64decode(told["modelspec.thumbnail"].removeprefix("data:image/jpeg;base64,"))
    with Image.open(io.BytesIO(picture)) as thumbnail:
        assert thumbnail.size == (64, 64)
    body = file.read_bytes()
    body = body[8 + int.from_bytes(body[:8], "little") :]
    assert told["sshs_model_hash"] == hashlib.sha256(body).hexdigest()
    assert told["modelspec.hash_sha256"] == f"0x{told['sshs_model_hash']}"
    tensors = load_file(file)
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}
    prefixes = ("lora_unet_input_blocks_3_1_", "lora_te1_text_model_", "lora_te2_text_model_")
    assert all(any(name.startswith(prefix) for name in tensors) for prefix in prefixes)
    assert sum(name.endswith(".dora_scale") for name in tensors) == len(tensors) / 4
    card = (config.output_dir / "MODEL_CARD.md").read_text(encoding="utf-8")
    for line in ("A DoRA for", "(SDXL)", "| of this LoRA | CC0-1.0 |", "second text encoder", "a test"):
        assert line in card


def test_times_are_written_on_request(make_config: MakeConfig, prepared: Prepare, tmp_path: Path) -> None:
    run_ = prepared(make_config(save_times=True))
    setup = build(run_, TensorCache(tmp_path / "cache"))
    exporter = Exporter(tmp_path / "zxq", run_)
    exporter.checkpoint(setup.adapter, 2)
    told = read_lora(exporter.checkpoint_file(2)).metadata
    assert float(told["ss_training_started_at"]) <= float(told["ss_training_finished_at"]) + 1
    assert told["modelspec.date"].endswith("+00:00")


def test_the_thumbnail_is_the_newest_sample(
    make_config: MakeConfig, prepared: Prepare, tmp_path: Path
) -> None:
    run_ = prepared(make_config())
    setup = build(run_, TensorCache(tmp_path / "cache"))
    exporter = Exporter(tmp_path / "zxq", run_)
    exporter.finish(setup.adapter, 2)
    assert "modelspec.thumbnail" not in read_lora(exporter.lora_file).metadata
    (tmp_path / "zxq" / "samples").mkdir()
    for name, side in (("0001", 16), ("0002", 512)):
        Image.new("RGB", (side, side // 2)).save(tmp_path / "zxq" / "samples" / f"{name}.png")
    exporter.finish(setup.adapter, 2)
    told = read_lora(exporter.lora_file).metadata["modelspec.thumbnail"]
    with Image.open(io.BytesIO(base64.b64decode(told.partition(",")[2]))) as thumbnail:
        assert thumbnail.size == (256, 128)


def test_the_hashes_are_those_of_other_programs(tmp_path: Path) -> None:
    """A1111's older hash is over 64 KiB from 1 MiB on, of the file as safetensors writes it by itself."""
    layer = LoraLayer(torch.randn(64, 4096), torch.randn(4096, 64), 64.0)
    write_lora(tmp_path / "a.safetensors", {"lora_unet_x": layer}, {"a": "b"})
    save_file(load_file(tmp_path / "a.safetensors"), tmp_path / "plain.safetensors")
    plain = (tmp_path / "plain.safetensors").read_bytes()
    told = read_lora(tmp_path / "a.safetensors").metadata
    assert told["sshs_legacy_hash"] == hashlib.sha256(plain[0x100000:0x110000]).hexdigest()[:8]


def test_what_only_the_file_shows_may_change_on_the_way(make_config: MakeConfig, prepared: Prepare) -> None:
    told = {"save_precision": "fp32", "thumbnail": "none", "author": "A", "license": "B", "comment": "c"}
    assert identity(prepared(make_config())) == identity(prepared(make_config(**told)))
