"""The recipes of VAE and base model on a tiny bank: exact encoder, falling loss, resume, warm restart."""

import random
import shutil
import subprocess
import sys

import pytest
import torch

from charaforge.mini.recipes import base, latents, vae
from charaforge.mini.recipes.analytic_vae import PatchPCA, build_vae, install_encoder
from charaforge.mini.recipes.architecture import build_scheduler, build_tokenizer, build_unet
from charaforge.mini.recipes.bf16 import MasterWeights
from charaforge.mini.recipes.captions import WordTokenizer, training_caption
from charaforge.mini.recipes.course import Rate, shifted_timesteps
from charaforge.mini.recipes.publish import publish, published_samples
from charaforge.mini.recipes.settings import TrainSettings
from charaforge.mini.recipes.views import as_tensor
from charaforge.mini.render import render
from charaforge.mini.scenes import all_tags, sample_scene


def _pictures(count: int) -> torch.Tensor:
    rng = random.Random(0)
    return as_tensor([render(sample_scene(rng)) for _ in range(count)], torch.float32)


def test_the_installed_encoder_is_the_pca():
    pictures = _pictures(24)
    pca, model = PatchPCA.fit(pictures), build_vae()
    install_encoder(model, pca)
    with torch.no_grad():
        latent = model.encode(pictures[:2]).latent_dist.mode()
    assert latent.shape == (2, 16, 16, 16)
    assert (latent - pca.encode(pictures[:2])).abs().max() < 5e-3
    assert pca.encode(pictures).std() == pytest.approx(1.0, abs=0.05)


def test_word_tokenizer_equals_the_real_one():
    tokenizer = build_tokenizer()
    words, rng = WordTokenizer(tokenizer), random.Random(3)
    for _ in range(60):
        text = training_caption(sample_scene(rng), rng)
        real = tokenizer(text, padding="max_length", max_length=77, truncation=True)["input_ids"]
        assert words(text) == real


def test_the_tokenizer_is_the_same_in_every_process():
    code = (
        "import hashlib\n"
        "from charaforge.mini.recipes.architecture import build_tokenizer\n"
        "print(hashlib.sha256(str(sorted(build_tokenizer().get_vocab().items())).encode()).hexdigest())"
    )
    runs = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    assert len(runs) == 1


def test_every_word_of_the_world_is_one_token():
    tokenizer = build_tokenizer()
    for word in {w for tag in all_tags() for w in tag.split()} - {"1girl"}:
        assert len(tokenizer(word)["input_ids"]) == 3, word


def test_timesteps_cover_all_of_time_and_lean_towards_noise():
    steps = shifted_timesteps(4000, torch.Generator().manual_seed(0))
    assert steps.min() >= 0
    assert steps.max() == 999
    assert 550 < float(steps.double().mean()) < 680


def test_the_rate_rises_holds_and_falls_to_zero():
    rate = Rate(peak=2.0, warm_up=10, decay_share=0.25)
    course = [rate.at(step, 100) for step in range(100)]
    assert course[0] == pytest.approx(0.2)
    assert course[9:75] == [2.0] * 66
    assert course[75:] == sorted(course[75:], reverse=True)
    assert 0 < course[-1] < 0.1


def test_gradients_reach_the_optimiser_in_one_memory_layout():
    """A fused optimiser misreads channels-last gradients: one such run destroyed a model."""
    conv = torch.nn.Conv2d(8, 8, 3)
    weights = MasterWeights((conv,), ema_decay=0.9)
    conv.to(memory_format=torch.channels_last)
    conv(torch.randn(2, 8, 6, 6).to(memory_format=torch.channels_last)).square().sum().backward()
    weights.gather_gradients(max_norm=1e9)
    assert all(p.grad.is_contiguous() for p in weights.master)


def test_latent_weights_average_one():
    rng = random.Random(0)
    weights = latents.loss_weights([sample_scene(rng) for _ in range(8)]).float()
    assert weights.shape == (8, 16, 16)
    assert weights.mean((1, 2)).numpy() == pytest.approx(1.0, abs=0.01)
    assert weights.amax() < 7


def test_the_schedule_ends_in_pure_noise():
    assert float(build_scheduler().alphas_cumprod[-1]) < 1e-6


def _train(work, samples):
    return base.train(TrainSettings(work=work, out=work / "weights", samples=samples))


def test_base_loss_falls_and_a_stopped_run_goes_on_exactly(small_world, monkeypatch):
    monkeypatch.setattr(base, "_BATCH", 4)
    monkeypatch.setattr(base, "_RATE", Rate(peak=1e-3, warm_up=1, decay_share=0))
    whole, halves = small_world / "whole", small_world / "halves"
    _train(whole, 8 * 4)
    _train(halves, 4 * 4)
    figures = _train(halves, 8 * 4)
    assert figures["samples"] == 32
    first, second = ((f / "base.safetensors").read_bytes() for f in (whole, halves))
    assert first == second


def test_vae_decoder_learns_and_the_published_model_restarts_the_base(small_world, monkeypatch):
    monkeypatch.setattr(vae, "_BATCH", 4)
    monkeypatch.setattr(base, "_BATCH", 2)
    settings = TrainSettings(work=small_world, out=small_world / "weights", samples=8 * 4)
    figures = vae.train(settings)
    assert figures["psnr_db"] > 6
    _train(small_world, 2 * 2)
    folder = publish(small_world, settings.out, samples=1234, pictures=24, measured={})
    assert published_samples(settings.out) == 1234
    assert "1,234 samples" in (folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    (small_world / "base.safetensors").unlink()
    shutil.rmtree(small_world / "base" / "tokenizer")
    training = base.BaseTraining(settings)
    assert training.seen_before == 1234
    assert (small_world / "base" / "tokenizer" / "tokenizer.json").is_file()  # the checkpoint's own words
    fresh = build_unet()
    training.weights.write_average((fresh, training.text))
    trained = base.UNet2DConditionModel.from_pretrained(small_world / "base" / "pipe" / "unet")
    differences = [
        float((a - b).detach().abs().max())
        for a, b in zip(fresh.parameters(), trained.parameters(), strict=True)
    ]
    assert max(differences) < 1e-3
