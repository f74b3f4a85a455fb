"""Recipes of ControlNets, IP-Adapter and mini-sdxl on a tiny bank: maps, losses, exact resume, layouts."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from safetensors.torch import load_file

from charaforge.mini.recipes import controlnet, ip_adapter, sdxl, vision
from charaforge.mini.recipes.bank import scene_of
from charaforge.mini.recipes.course import Rate
from charaforge.mini.recipes.maps import depth_map, line_map, pose_map
from charaforge.mini.recipes.settings import TrainSettings
from charaforge.mini.render import Layer, render
from charaforge.mini.scenes import sample_scene

WEIGHTS = Path(sdxl.__file__).parents[1] / "weights"


@pytest.fixture
def settings(small_world: Path, monkeypatch: pytest.MonkeyPatch) -> TrainSettings:
    """A work folder, and an out folder that holds the embedded mini-sd."""
    out = small_world / "weights"
    out.mkdir()
    (out / "mini-sd").symlink_to(WEIGHTS / "mini-sd")
    for module in (controlnet, ip_adapter, sdxl):
        monkeypatch.setattr(module, "_BATCH", 4)
    monkeypatch.setattr(vision, "BATCH", 4)
    return TrainSettings(work=small_world, out=out, samples=16, seed=1)


def test_maps_follow_the_conventions_of_large_controlnets() -> None:
    scene = scene_of("base", 3)
    figure = render(scene, 128, Layer.FIGURE_MASK)[..., 0] > 128
    depth, lines, pose = depth_map(scene), line_map(scene), pose_map(scene)
    assert depth[~figure].max() <= 130  # half-covered pixels at the edge at most
    assert np.median(depth[figure]) > 100
    assert lines[0, 0] == 0
    assert lines.max() > 200
    assert pose.shape == (128, 128, 3)
    assert 0 < (pose.max(-1) > 0).mean() < 0.2


@pytest.mark.parametrize("kind", controlnet.KINDS)
def test_a_controlnet_begins_without_effect_and_learns(kind: str, settings: TrainSettings) -> None:
    figures = controlnet.train_kind(controlnet.KINDS[kind], settings)
    assert figures["samples"] == 16
    net = ControlNetModel.from_pretrained(settings.out / controlnet.KINDS[kind].name)
    down, mid = _residuals(net)
    assert float(mid.abs().max()) > 0
    down, mid = _residuals(controlnet.build_controlnet())
    assert max(float(part.abs().max()) for part in (*down, mid)) == 0


def _residuals(net: ControlNetModel) -> tuple[list[torch.Tensor], torch.Tensor]:
    with torch.no_grad():
        down, mid = net(
            torch.randn(1, 16, 16, 16),
            torch.tensor([500]),
            torch.zeros(1, 77, 128),
            controlnet_cond=torch.rand(1, 3, 128, 128),
            return_dict=False,
        )
    return down, mid


def test_a_stopped_controlnet_goes_on_exactly(
    settings: TrainSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controlnet, "RATE", Rate(peak=1e-3, warm_up=1, decay_share=0))
    kind, work = controlnet.KINDS["depth"], settings.work / f"{controlnet.KINDS['depth'].name}.safetensors"
    controlnet.train_kind(kind, settings)
    whole = work.read_bytes()
    work.unlink()
    for samples in (8, 16):
        controlnet.train_kind(kind, TrainSettings(settings.work, settings.out, samples, settings.seed))
    assert work.read_bytes() == whole


def test_an_ip_adapter_has_the_published_layout(settings: TrainSettings) -> None:
    ip_adapter.train(settings)
    tensors = load_file(settings.out / ip_adapter.NAME / "ip-adapter.safetensors")
    assert {"image_proj.proj.weight", "image_proj.norm.bias", "ip_adapter.1.to_k_ip.weight"} <= set(tensors)
    unet = UNet2DConditionModel.from_pretrained(WEIGHTS / "mini-sd" / "unet")
    places = [i for i, name in enumerate(unet.attn_processors) if "attn2" in name]
    assert {int(name.split(".")[1]) for name in tensors if name.startswith("ip_adapter")} == set(places)
    assert (settings.out / ip_adapter.NAME / "image_encoder" / "preprocessor_config.json").is_file()


def test_a_reference_shows_the_same_figure_in_another_picture() -> None:
    scene = scene_of("base", 5)
    other = ip_adapter.reference_scene(scene, random.Random(1))
    assert (other.hair, other.style, other.clothes) == (scene.hair, scene.style, scene.clothes)
    assert other.geometry_seed != scene.geometry_seed


def test_cross_attention_reads_states_as_if_a_norm_had_ended_the_encoder() -> None:
    torch.manual_seed(0)
    unet, width = sdxl.build_unet(), sdxl.TEXT_WIDTH
    norm = torch.nn.LayerNorm(width)
    for parameter in norm.parameters():
        torch.nn.init.normal_(parameter)
    attention = unet.mid_block.attentions[0].transformer_blocks[0].attn2
    for projection in (attention.to_k, attention.to_v):
        projection.weight.data[:, width:] = 0  # as taken over from the narrower model
    states = torch.randn(2, 77, width + sdxl.SECOND_TEXT_WIDTH)
    first = states[..., :width]
    first = 3.0 + 7.0 * (first - first.mean(-1, keepdim=True)) / first.std(-1, correction=0, keepdim=True)
    hidden = torch.randn(2, 16, attention.to_q.in_features)
    rest = states[..., width:]
    with torch.no_grad():
        wanted = attention(hidden, torch.cat([norm(first), rest], -1))
        sdxl.fold_norm(unet, norm, spread=7.0)
        found = attention(hidden, torch.cat([first, rest], -1))
    assert float((found - wanted).abs().max()) < 1e-4 * float(wanted.abs().max())


def test_mini_sdxl_understands_words_from_the_first_step(settings: TrainSettings) -> None:
    training = sdxl.SdxlTraining(settings)
    batch = sdxl.SdxlData(settings.work, training.tokenizer, 1).batch(0)
    context, pooled = training.encode(batch.ids)
    added = {"text_embeds": pooled, "time_ids": batch.sizes.to(training.dtype)}
    noise = batch.noise.to(training.dtype)
    with torch.no_grad():
        told = training.unet(noise, 700, context, added_cond_kwargs=added).sample
        wrong = training.unet(noise, 700, context.roll(1, 0), added_cond_kwargs=added).sample
        alone = training.unet(
            noise, 700, context, added_cond_kwargs={"text_embeds": 0 * pooled, "time_ids": added["time_ids"]}
        ).sample
    assert float((told - wrong).abs().mean()) > 0.05 * float(told.abs().mean())
    assert torch.equal(told, alone)


def test_mini_sdxl_is_a_plain_sdxl_pipeline(settings: TrainSettings) -> None:
    figures = sdxl.train(settings)
    assert figures["loss"] > 0
    training = sdxl.SdxlTraining(settings)
    assert training.step == 4
    batch = sdxl.SdxlData(settings.work, training.tokenizer, 1).batch(0)
    context, pooled = training.encode(batch.ids)
    assert (tuple(context.shape), tuple(pooled.shape)) == ((4, 77, 288), (4, 160))
    assert batch.ids[0].shape == batch.ids[1].shape
    assert not torch.equal(*batch.ids)  # the second encoder is padded with its own token


def test_what_fits_is_taken_over_from_mini_sd() -> None:
    source = UNet2DConditionModel.from_pretrained(WEIGHTS / "mini-sd" / "unet")
    target = sdxl.build_unet()
    taken = sdxl.take_over(target, source.state_dict())
    assert taken > 0.9 * len(source.state_dict())
    assert torch.equal(target.conv_in.weight, source.conv_in.weight)


def test_crops_are_told_in_the_size_numbers() -> None:
    latents = torch.arange(16 * 16, dtype=torch.float32).view(1, 16, 16)
    rng = random.Random(0)
    for _ in range(50):
        cut, _, sizes = sdxl.crop(latents, torch.ones(16, 16), rng)
        top, left = int(sizes[2] // 8), int(sizes[3] // 8)
        assert float(cut[0, 0, 0]) == 16 * top + left
        assert sizes[4:] == [128.0, 128.0]


def test_the_weight_of_the_noise_error_is_bounded() -> None:
    alphas = sdxl.build_scheduler().alphas_cumprod[torch.tensor([10, 300, 700, 999])]
    weight = sdxl.loss_weight(alphas)
    assert float(weight.mean()) == pytest.approx(1)
    assert float(weight.max() / weight.min()) < 13


def test_vision_labels_leave_out_what_closed_eyes_hide() -> None:
    rng = random.Random(0)
    scenes = [sample_scene(rng) for _ in range(60)]
    hidden = [vision.labels(scene).count(-100) for scene in scenes]
    assert [h == 1 for h in hidden] == [scene.expression == "closed eyes" for scene in scenes]
