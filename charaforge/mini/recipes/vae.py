"""Recipe of the mini VAE: PCA encoder (see ``analytic_vae``), then a decoder trained on its latents.

Trained on base scenes and on signed characters alike: a base VAE must be able to show what a LoRA will
learn later. Because the latents never change, the decoder may be improved at any time without touching
the UNet that was trained on them.
"""

import math
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from charaforge.logs import get_logger
from charaforge.mini.recipes.analytic_vae import PatchPCA, build_vae, install_encoder
from charaforge.mini.recipes.bank import Bank
from charaforge.mini.recipes.bf16 import MasterWeights, training_dtype
from charaforge.mini.recipes.checkpoints import load_checkpoint, save_checkpoint
from charaforge.mini.recipes.decoded import psnr_db, reconstruct
from charaforge.mini.recipes.settings import TrainSettings
from charaforge.mini.recipes.views import as_tensor

_LOG = get_logger(__name__)
_BATCH = 16
_CROP_CELLS = 8
_PEAK_RATE = 2e-3
_SAMPLES = 160_000
_SIGNED_SHARE = 0.3
PCA_PICTURES = {"base": 2400, "signed": 1200}
"""Pictures of each bank that the linear encoder is fitted on."""
PICTURES = {"base": 50_000, "signed": 16_000}
"""Pictures of each bank that the decoder is trained on."""


def fitted_pca(work: Path) -> PatchPCA:
    """The PCA over ``PCA_PICTURES``; always the same numbers for one world version."""
    banks = [Bank(work / "bank", kind, count) for kind, count in PCA_PICTURES.items()]
    pictures = np.concatenate(
        [b.pictures(range(n)) for b, n in zip(banks, PCA_PICTURES.values(), strict=True)]
    )
    return PatchPCA.fit(as_tensor(pictures, torch.float32))


class _Crops:
    """Aligned 64 px crops with their exact latents; sample ``step`` is the same on every run."""

    def __init__(self, banks: tuple[Bank, Bank], pca: PatchPCA, seed: int) -> None:
        self._banks, self._pca, self._seed = banks, pca, seed

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng((self._seed, step))
        num_signed = round(_BATCH * _SIGNED_SHARE)
        pictures = np.concatenate(
            [
                bank.pictures(rng.integers(0, len(bank), n))
                for bank, n in zip(self._banks, (_BATCH - num_signed, num_signed), strict=True)
            ]
        )
        tops, lefts = rng.integers(0, 9, (2, _BATCH)) * 8
        side = _CROP_CELLS * 8
        crops = [p[y : y + side, x : x + side] for p, y, x in zip(pictures, tops, lefts, strict=True)]
        target = as_tensor(crops, torch.float32)
        latents = self._pca.encode(target)
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + step)
        sigma = 0.10 * torch.rand(_BATCH, 1, 1, 1, generator=generator)
        return target, latents + sigma * torch.randn(latents.shape, generator=generator)


def reconstruction_loss(output: Tensor, target: Tensor, edge_weight: float) -> Tensor:
    """L1 + half the MSE + ``edge_weight`` times the L1 of horizontal and vertical differences."""
    error = output.float() - target
    edges = (error[..., 1:] - error[..., :-1]).abs().mean() + (
        error[..., 1:, :] - error[..., :-1, :]
    ).abs().mean()
    return error.abs().mean() + 0.5 * error.square().mean() + edge_weight * edges


def _rate(progress: float) -> float:
    return min(1.0, (progress + 1e-4) * 80) * (0.5 * (1 + math.cos(math.pi * progress)) * 0.97 + 0.03)


def train(settings: TrainSettings) -> dict[str, float]:
    """Train the decoder; returns {"psnr_db": mean PSNR over 32 pictures it never saw}."""
    torch.set_num_threads(1)
    torch.manual_seed(settings.seed)
    pca, vae = fitted_pca(settings.work), build_vae()
    install_encoder(vae, pca)
    modules = (vae.post_quant_conv, vae.decoder)
    weights = MasterWeights(modules, ema_decay=0.998)
    dtype = training_dtype()
    for module in modules:
        module.to(dtype=dtype, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(weights.master, lr=_PEAK_RATE, betas=(0.9, 0.98), weight_decay=0.0)
    checkpoint = settings.work / "vae.safetensors"
    step = load_checkpoint(checkpoint, weights, optimizer)
    base, signed = (Bank(settings.work / "bank", kind, count) for kind, count in PICTURES.items())
    crops = _Crops((base, signed), pca, settings.seed)
    steps = (settings.samples or _SAMPLES) // _BATCH
    started, first, losses = time.monotonic(), step, []
    while step < steps:
        target, latents = crops.batch(step)
        for group in optimizer.param_groups:
            group["lr"] = _PEAK_RATE * _rate(step / steps)
        noisy = latents.to(dtype=dtype, memory_format=torch.channels_last)
        output = vae.decoder(vae.post_quant_conv(noisy))
        loss = reconstruction_loss(output, target, 0.4 * min(1.0, step / steps * 8))
        loss.backward()
        weights.gather_gradients(max_norm=1.0)
        optimizer.step()
        step += 1
        weights.publish(step)
        losses.append(loss.item())
        if step % 100 == 0:
            rate = (step - first) / (time.monotonic() - started)
            _LOG.info(
                "vae step %d/%d loss %.4f %.1f crops/s ETA %.0f s",
                step,
                steps,
                np.mean(losses[-100:]),
                rate * _BATCH,
                (steps - step) / rate,
            )
        if step % 500 == 0 or step == steps:
            save_checkpoint(checkpoint, weights, optimizer, step)
            _export(pca, weights, settings.work / "vae")
            _LOG.info("vae step %d PSNR %.2f dB", step, measure_psnr(settings.work))
    return {"psnr_db": measure_psnr(settings.work)}


def _export(pca: PatchPCA, weights: MasterWeights, folder: Path) -> None:
    vae = build_vae()
    install_encoder(vae, pca)
    weights.write_average((vae.post_quant_conv, vae.decoder))
    vae.save_pretrained(folder)


def measure_psnr(work: Path) -> float:
    """Mean PSNR in dB (peak 255) of the exported VAE over 32 held-out pictures."""
    pictures = Bank(work / "bank", "test", 1000).pictures(range(32))
    return psnr_db(pictures, reconstruct(work / "vae", pictures))
