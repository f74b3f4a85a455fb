"""Recipe of mini-sd: UNet and text encoder trained together on PCA latents, from nothing.

v-prediction on a zero-terminal-SNR schedule (Salimans & Ho 2022; Lin et al. 2024, arXiv:2305.08891), time
steps stratified over the batch and shifted towards noise, warm-up / constant / linear-decay learning rate,
averaged weights. Every batch depends on (seed, step) only, so a stopped run goes on exactly.
"""

import random
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from charaforge.logs import get_logger
from charaforge.mini.recipes.architecture import (
    build_scheduler,
    build_text_encoder,
    build_tokenizer,
    build_unet,
)
from charaforge.mini.recipes.bank import Bank, scene_of
from charaforge.mini.recipes.bf16 import MasterWeights, training_dtype
from charaforge.mini.recipes.captions import WordTokenizer, training_caption
from charaforge.mini.recipes.checkpoints import load_checkpoint, save_checkpoint
from charaforge.mini.recipes.course import Course, Rate, shifted_timesteps
from charaforge.mini.recipes.handedness import mostly_one_handed
from charaforge.mini.recipes.latents import encode_bank, loss_weights
from charaforge.mini.recipes.publish import NAME, published_samples, seen_samples, write_seen
from charaforge.mini.recipes.settings import TrainSettings
from charaforge.mini.recipes.vae import fitted_pca

_LOG = get_logger(__name__)
PICTURES = 50_000
_BATCH = 32
_SAMPLES = 2_000_000
_RATE = Rate(peak=1.2e-3, warm_up=200, decay_share=0.25)
_CHECKPOINT_S = 240.0


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch: latents and noise (B,16,16,16), time steps (B,), ids (B,77), weights (B,1,16,16)."""

    latents: Tensor
    noise: Tensor
    timesteps: Tensor
    token_ids: Tensor
    weights: Tensor


class BaseData:
    """Batches of the base bank; batch ``step`` is the same on every run."""

    def __init__(self, work: Path, tokenizer: CLIPTokenizer, seed: int) -> None:
        """Render and encode what is missing under ``work``."""
        bank = Bank(work / "bank", "base", PICTURES)
        self.latents = encode_bank(bank, fitted_pca(work), work / "latents.npy")
        self._scenes = [scene_of("base", i) for i in range(len(bank))]
        self._weights = loss_weights(self._scenes)
        self._drawn = mostly_one_handed(self._scenes)
        self._tokenize = WordTokenizer(tokenizer)
        self._seed = seed

    def batch(self, step: int) -> Batch:
        """Draw pictures, wordings, noise and time steps of one step."""
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + step)
        rng = random.Random(f"captions {self._seed} {step}")
        index = self._drawn[torch.randint(0, len(self._drawn), (_BATCH,), generator=generator)]
        captions = [training_caption(self._scenes[i], rng) for i in index.tolist()]
        latents = self.latents[index].float()
        return Batch(
            latents=latents,
            noise=torch.randn(latents.shape, generator=generator),
            timesteps=shifted_timesteps(_BATCH, generator),
            token_ids=torch.tensor([self._tokenize(c) for c in captions]),
            weights=self._weights[index].float()[:, None],
        )


def v_loss(
    unet: UNet2DConditionModel, text: CLIPTextModel, batch: Batch, alphas: Tensor, dtype: torch.dtype
) -> Tensor:
    """Weighted squared error of the velocity v = sqrt(a) noise - sqrt(1 - a) x, per sample: (B,)."""
    a = alphas[batch.timesteps].view(-1, 1, 1, 1)
    noisy = a.sqrt() * batch.latents + (1 - a).sqrt() * batch.noise
    target = a.sqrt() * batch.noise - (1 - a).sqrt() * batch.latents
    noisy = noisy.to(dtype=dtype, memory_format=torch.channels_last)
    context = text(batch.token_ids)[0]
    predicted = unet(noisy, batch.timesteps, context).sample.float()
    errors: Tensor = (predicted - target).square() * batch.weights
    return errors.mean((1, 2, 3))


def _kept_tokenizer(settings: TrainSettings) -> CLIPTokenizer:
    """The tokenizer that the weights to go on from were trained with, else a new one; kept in ``work``.

    It is kept even where it is a published one: a checkpoint is worth nothing under other word numbers.
    """
    kept, published = settings.work / "base" / "tokenizer", settings.out / NAME / "tokenizer"
    found = next((folder for folder in (kept, published) if folder.exists()), None)
    tokenizer: CLIPTokenizer = CLIPTokenizer.from_pretrained(found) if found else build_tokenizer()
    if found != kept:
        tokenizer.save_pretrained(kept)
    return tokenizer


class BaseTraining:
    """UNet, text encoder, their master weights and optimiser."""

    def __init__(self, settings: TrainSettings) -> None:
        """Build everything and resume from the checkpoint in ``settings.work`` if there is one."""
        torch.manual_seed(settings.seed)
        self.tokenizer = _kept_tokenizer(settings)
        self.text, self.unet = build_text_encoder(self.tokenizer), build_unet()
        self.weights = MasterWeights((self.unet, self.text), ema_decay=0.999)
        self.dtype = training_dtype()
        self.unet.to(dtype=self.dtype, memory_format=torch.channels_last)
        nn.Module.to(self.text, dtype=self.dtype)
        self.unet.set_attn_processor(AttnProcessor())
        self.text.set_attn_implementation("eager")
        self.optimizer = torch.optim.AdamW(
            self.weights.master, lr=_RATE.peak, betas=(0.9, 0.99), weight_decay=0.01, fused=True
        )
        self.alphas = build_scheduler().alphas_cumprod
        self.checkpoint = settings.work / "base.safetensors"
        self.step = load_checkpoint(self.checkpoint, self.weights, self.optimizer)
        self.seen_before = seen_samples(settings.work / "base") - self.step * _BATCH if self.step else 0
        if self.step == 0 and published_samples(settings.out):
            self._start_from(settings.out)

    def _start_from(self, out: Path) -> None:
        """Begin with the published weights: a warm restart, where no checkpoint is left."""
        folder = out / NAME
        unet = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32)
        text = CLIPTextModel.from_pretrained(folder / "text_encoder", torch_dtype=torch.float32)
        self.weights.start_from((unet, text))
        self.seen_before = published_samples(out)
        _LOG.info("starting from %s, which has seen %d samples", folder, self.seen_before)

    def losses(self, batch: Batch) -> Tensor:
        """As `v_loss`, (B,)."""
        return v_loss(self.unet, self.text, batch, self.alphas, self.dtype)

    def save(self, vae_folder: Path, out: Path) -> None:
        """Write the checkpoint, and the averaged weights as a plain StableDiffusionPipeline folder."""
        save_checkpoint(self.checkpoint, self.weights, self.optimizer, self.step)
        write_seen(out.parent, self.step * _BATCH + self.seen_before)
        if (vae_folder / "config.json").exists():
            self.pipeline(AutoencoderKL.from_pretrained(vae_folder)).save_pretrained(out)

    def pipeline(self, vae: AutoencoderKL) -> StableDiffusionPipeline:
        """The averaged weights in a float32 pipeline."""
        unet, text = build_unet(), build_text_encoder(self.tokenizer)
        self.weights.write_average((unet, text))
        return StableDiffusionPipeline(
            vae=vae,
            text_encoder=text,
            tokenizer=self.tokenizer,
            unet=unet,
            scheduler=build_scheduler(),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )


def train(settings: TrainSettings) -> dict[str, float]:
    """Train the base model; the same command goes on where a stopped run was."""
    torch.set_num_threads(1)
    training = BaseTraining(settings)
    data = BaseData(settings.work, training.tokenizer, settings.seed)
    pipe = settings.work / "base" / "pipe"
    steps = (settings.samples or _SAMPLES) // _BATCH
    course = Course("base", steps, _BATCH, _RATE, _CHECKPOINT_S)
    last = course.follow(training, data.batch, lambda: training.save(settings.work / "vae", pipe))
    return {"loss": last, "samples": float(training.step * _BATCH + training.seen_before)}
