"""Recipe of mini-sdxl: the SDXL layout in small, on the latents of the mini VAE.

Two text encoders of different widths whose last but one layers stand side by side, the second one's pooled
output and six size numbers as added conditions; noise prediction on the ordinary scaled-linear schedule, as
nearly all models in use have it. UNet and first text encoder begin as those of mini-sd, so that words are
understood from the first step; the second encoder and the added conditions begin without a say.

SDXL reads the last but one layer, without the norm that ends the encoder. Nothing holds the size of such
states: learnt from scratch at the UNet's rate they grew to 80, attention froze and the words were lost. Hence
that beginning, and a rate of their own for the encoders.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from charaforge.logs import get_logger
from charaforge.mini import world
from charaforge.mini.recipes.analytic_vae import LATENT_CHANNELS
from charaforge.mini.recipes.architecture import MAX_TOKENS, TEXT_WIDTH, UNET_CHANNELS, build_text_encoder
from charaforge.mini.recipes.bank import Bank, scene_of
from charaforge.mini.recipes.base import PICTURES
from charaforge.mini.recipes.bf16 import MasterWeights, training_dtype
from charaforge.mini.recipes.captions import WordTokenizer, training_caption
from charaforge.mini.recipes.checkpoints import load_checkpoint, save_checkpoint
from charaforge.mini.recipes.course import Course, Rate, shifted_timesteps
from charaforge.mini.recipes.handedness import mostly_one_handed
from charaforge.mini.recipes.latents import encode_bank, loss_weights
from charaforge.mini.recipes.publish import write_seen
from charaforge.mini.recipes.settings import TrainSettings
from charaforge.mini.recipes.vae import fitted_pca

_LOG = get_logger(__name__)
NAME = "mini-sdxl"
BASE = "mini-sd"
SECOND_TEXT_WIDTH = 160
TIME_WIDTH = 32
"""Sinusoidal features per size number."""
_BATCH = 32
_SAMPLES = 1_000_000
_RATE = Rate(peak=6e-4, warm_up=300, decay_share=0.5)
_CHECKPOINT_S = 240.0
_CROP_SHARE = 0.2
_MOST_CELLS = 2
_WEIGHT_LIMIT = 12.0
_SECOND_PAD = "!"
_ENCODER_SHARE = 0.1
_FIRST_LAYERS = 3
"""Two of mini-sd's, and one that nothing reads."""
_MEASURED = 64


def build_second_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModelWithProjection:
    """A three-layer CLIP text encoder with a pooled, projected output; wide start of the embeddings."""
    encoder = CLIPTextModelWithProjection(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=SECOND_TEXT_WIDTH,
            intermediate_size=2 * SECOND_TEXT_WIDTH,
            projection_dim=SECOND_TEXT_WIDTH,
            num_hidden_layers=3,
            num_attention_heads=5,
            max_position_embeddings=MAX_TOKENS,
            hidden_act="gelu",
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=_second_pad_id(tokenizer),
        )
    )
    for module in encoder.modules():
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=0.2)
    return encoder


def _second_pad_id(tokenizer: CLIPTokenizer) -> int:
    """The id that SDXL's second encoder is padded with: that of "!", which is 0 in CLIP's own vocabulary."""
    ids: dict[str, int] = tokenizer.get_vocab()
    return ids[_SECOND_PAD]


def build_unet() -> UNet2DConditionModel:
    """The denoiser: as mini-sd's, with both texts in cross-attention and text and sizes added to the time."""
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=UNET_CHANNELS,
        layers_per_block=1,
        transformer_layers_per_block=(1, 1, 1),
        use_linear_projection=True,
        cross_attention_dim=TEXT_WIDTH + SECOND_TEXT_WIDTH,
        attention_head_dim=(1, 2, 2),
        norm_num_groups=8,
        addition_embed_type="text_time",
        addition_time_embed_dim=TIME_WIDTH,
        projection_class_embeddings_input_dim=SECOND_TEXT_WIDTH + 6 * TIME_WIDTH,
    )


def build_scheduler() -> EulerDiscreteScheduler:
    """SDXL's own schedule: scaled-linear betas, noise prediction, no rescaling."""
    return EulerDiscreteScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="epsilon",
        timestep_spacing="leading",
        steps_offset=1,
    )


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch: latents, noise (B,16,16,16), timesteps (B,), ids (B,77) twice, sizes (B,6), weights."""

    latents: Tensor
    noise: Tensor
    timesteps: Tensor
    ids: tuple[Tensor, Tensor]
    sizes: Tensor
    weights: Tensor


class SdxlData:
    """Batches of the base bank; batch ``step`` is the same on every run."""

    def __init__(self, work: Path, tokenizer: CLIPTokenizer, seed: int) -> None:
        """Render and encode what is missing under ``work``."""
        bank = Bank(work / "bank", "base", PICTURES)
        self.latents = encode_bank(bank, fitted_pca(work), work / "latents.npy")
        self._scenes = [scene_of("base", i) for i in range(len(bank))]
        self._weights = loss_weights(self._scenes)
        self._drawn = mostly_one_handed(self._scenes)
        self._words = WordTokenizer(tokenizer), WordTokenizer(tokenizer, _second_pad_id(tokenizer))
        self._seed = seed

    def batch(self, step: int) -> Batch:
        """Draw pictures, crops, wordings, noise and time steps of one step."""
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + step)
        rng = random.Random(f"sdxl {self._seed} {step}")
        index = self._drawn[torch.randint(0, len(self._drawn), (_BATCH,), generator=generator)]
        captions = [training_caption(self._scenes[i], rng) for i in index.tolist()]
        drawn = [crop(self.latents[i].float(), self._weights[i].float(), rng) for i in index.tolist()]
        return Batch(
            latents=torch.stack([latents for latents, _, _ in drawn]),
            noise=torch.randn((_BATCH, *self.latents.shape[1:]), generator=generator),
            timesteps=shifted_timesteps(_BATCH, generator),
            ids=(self._ids(0, captions), self._ids(1, captions)),
            sizes=torch.tensor([sizes for _, _, sizes in drawn]),
            weights=torch.stack([weights for _, weights, _ in drawn])[:, None],
        )

    def _ids(self, which: int, captions: list[str]) -> Tensor:
        return torch.tensor([self._words[which](caption) for caption in captions])


def crop(latents: Tensor, weights: Tensor, rng: random.Random) -> tuple[Tensor, Tensor, list[float]]:
    """Cut rows and columns off the top left in a fifth of the cases, and tell it in the size numbers.

    Args:
        latents: (C, h, w).
        weights: (h, w), how much each cell counts.
        rng: Decides.

    Returns:
        Latents and weights of the same shape (the last row and column continue), and
        (original height, width, crop top, left, target height, width) in pixels, as SDXL is told them. The
        original size is drawn at random: every picture is of the same, and users may say what they like.
    """
    side = float(world.NATIVE_SIDE)
    original = side * rng.choice((1.0, 1.0, 1.0, 0.75, 1.5, 2.0, 4.0))
    top = left = 0
    if rng.random() < _CROP_SHARE:
        top, left = rng.randint(0, _MOST_CELLS), rng.randint(0, _MOST_CELLS)
        rows = torch.arange(latents.shape[1]).add(top).clamp(max=latents.shape[1] - 1)
        columns = torch.arange(latents.shape[2]).add(left).clamp(max=latents.shape[2] - 1)
        latents, weights = latents[:, rows][:, :, columns], weights[rows][:, columns]
    cell = side / latents.shape[1]
    return latents, weights, [original, original, top * cell, left * cell, side, side]


def loss_weight(alphas: Tensor) -> Tensor:
    """Weight of the noise error per sample: 1 / a_t, at most 12, over its mean.

    1 / a_t makes of the noise error that of the velocity, which counts all noise levels alike; the limit
    keeps the last levels, where it would grow to 200, from drowning the rest (compare min-SNR, Hang et al.
    2023).
    """
    weight = (1 / alphas).clamp(max=_WEIGHT_LIMIT)
    return weight / weight.mean()


class SdxlTraining:
    """UNet, two text encoders, their master weights and optimiser."""

    def __init__(self, settings: TrainSettings) -> None:
        """Begin with what fits of mini-sd in ``settings.out``, or resume from the checkpoint in ``work``."""
        torch.manual_seed(settings.seed)
        start = settings.out / BASE
        self.tokenizer = CLIPTokenizer.from_pretrained(start / "tokenizer")
        self.unet = build_unet()
        self.first = build_text_encoder(self.tokenizer, _FIRST_LAYERS)
        self.second = build_second_text_encoder(self.tokenizer)
        self._begin_as(start)
        modules = (self.unet, self.first, self.second)
        self.weights = MasterWeights(modules, ema_decay=0.999)
        self.dtype = training_dtype()
        self.unet.to(dtype=self.dtype, memory_format=torch.channels_last)
        self.unet.set_attn_processor(AttnProcessor())
        for encoder in (self.first, self.second):
            nn.Module.to(encoder, dtype=self.dtype)
            encoder.set_attn_implementation("eager")
        count = len(list(self.unet.parameters()))
        groups: list[dict[str, Any]] = [
            {"params": self.weights.master[:count], "share": 1.0},
            {"params": self.weights.master[count:], "share": _ENCODER_SHARE},
        ]
        self.optimizer = torch.optim.AdamW(
            groups, lr=_RATE.peak, betas=(0.9, 0.99), weight_decay=0.01, fused=True
        )
        self.alphas = build_scheduler().alphas_cumprod
        self.checkpoint = settings.work / "sdxl.safetensors"
        self.step = load_checkpoint(self.checkpoint, self.weights, self.optimizer)

    @torch.no_grad()
    def _begin_as(self, start: Path) -> None:
        """Make UNet and first encoder those of mini-sd, and silence what is new."""
        taken = CLIPTextModel.from_pretrained(start / "text_encoder").float()
        take_over(self.unet, UNet2DConditionModel.from_pretrained(start / "unet").state_dict())
        take_over(self.first, taken.state_dict())
        ids = WordTokenizer(self.tokenizer)
        captions = [
            training_caption(scene_of("base", i), random.Random(f"norm {i}")) for i in range(_MEASURED)
        ]
        states = self.first(torch.tensor([ids(c) for c in captions]), output_hidden_states=True)
        spread = float(states.hidden_states[-2].std(-1, correction=0).median())
        fold_norm(self.unet, taken.final_layer_norm, spread)
        for parameter in self.unet.add_embedding.linear_2.parameters():
            parameter.zero_()

    def losses(self, batch: Batch) -> Tensor:
        """Weighted squared error of the predicted noise, per sample: (B,)."""
        a = self.alphas[batch.timesteps]
        signal, sigma = a.sqrt().view(-1, 1, 1, 1), (1 - a).sqrt().view(-1, 1, 1, 1)
        noisy = (signal * batch.latents + sigma * batch.noise).to(
            dtype=self.dtype, memory_format=torch.channels_last
        )
        context, pooled = self.encode(batch.ids)
        added = {"text_embeds": pooled, "time_ids": batch.sizes.to(self.dtype)}
        predicted = self.unet(noisy, batch.timesteps, context, added_cond_kwargs=added).sample.float()
        errors: Tensor = ((predicted - batch.noise).square() * batch.weights).mean((1, 2, 3))
        return errors * loss_weight(a)

    def encode(self, ids: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Last but one layers side by side (B, 77, 288) and pooled output (B, 160), as SDXL reads them."""
        one = self.first(ids[0], output_hidden_states=True)
        two = self.second(ids[1], output_hidden_states=True)
        return torch.cat([one.hidden_states[-2], two.hidden_states[-2]], -1), two.text_embeds

    def save(self, vae: Path, out: Path) -> None:
        """Write the checkpoint, and the averaged weights as a plain StableDiffusionXLPipeline folder."""
        save_checkpoint(self.checkpoint, self.weights, self.optimizer, self.step)
        write_seen(out.parent, self.step * _BATCH)
        if (vae / "config.json").exists():
            self.pipeline(AutoencoderKL.from_pretrained(vae)).save_pretrained(out)

    def pipeline(self, vae: AutoencoderKL) -> StableDiffusionXLPipeline:
        """The averaged weights in a float32 pipeline."""
        unet, first = build_unet(), build_text_encoder(self.tokenizer, _FIRST_LAYERS)
        second = build_second_text_encoder(self.tokenizer)
        self.weights.write_average((unet, first, second))
        second_tokenizer = CLIPTokenizer.from_pretrained(self.tokenizer.name_or_path, pad_token=_SECOND_PAD)
        return StableDiffusionXLPipeline(
            vae=vae,
            text_encoder=first,
            text_encoder_2=second,
            tokenizer=self.tokenizer,
            tokenizer_2=second_tokenizer,
            unet=unet,
            scheduler=build_scheduler(),
            force_zeros_for_empty_prompt=False,
            add_watermarker=False,
        )


@torch.no_grad()
def take_over(module: nn.Module, source: Mapping[str, Any]) -> int:
    """Copy the tensors of the same name and number of values; returns how many were copied.

    Projections that are 1x1 convolutions in one model and linear in the other have the same values. Key and
    value projections of a wider context take the source's into their first columns and begin at zero beyond.
    """
    taken = 0
    for name, target in module.state_dict().items():
        value = source.get(name)
        if value is None:
            continue
        if value.numel() == target.numel():
            target.copy_(value.reshape(target.shape))
        elif value.ndim == 2 and value.shape[0] == target.shape[0] and value.shape[1] < target.shape[1]:
            target.zero_()[:, : value.shape[1]].copy_(value)
        else:
            continue
        taken += 1
    return taken


@torch.no_grad()
def fold_norm(unet: UNet2DConditionModel, norm: nn.LayerNorm, spread: float) -> None:
    """Let cross-attention read states as if they had gone through a norm that ends the encoder.

    norm(h) = g (h - mean h) / std h + b. Gain, mean and a common ``spread`` in place of std h go into the key
    and value projections; b, which adds the same to all keys and changes no attention, is one constant of the
    values and goes into the bias of the output projection.

    Args:
        unet: Projections with the width of ``norm`` in their first columns.
        norm: The encoder's last layer.
        spread: Usual standard deviation of a state.
    """
    for name, module in unet.named_modules():
        if not name.endswith("attn2"):
            continue
        attention: Any = module
        columns = slice(0, norm.normalized_shape[0])
        constant = attention.to_v.weight[:, columns] @ norm.bias
        attention.to_out[0].bias += attention.to_out[0].weight @ constant
        for projection in (attention.to_k, attention.to_v):
            weight = projection.weight[:, columns] * norm.weight
            projection.weight[:, columns] = (weight - weight.mean(1, keepdim=True)) / spread


def train(settings: TrainSettings) -> dict[str, float]:
    """Train mini-sdxl; the same command goes on where a stopped run was."""
    torch.set_num_threads(1)
    training = SdxlTraining(settings)
    data = SdxlData(settings.work, training.tokenizer, settings.seed)
    pipe = settings.work / "sdxl" / "pipe"
    steps = (settings.samples or _SAMPLES) // _BATCH
    course = Course("sdxl", steps, _BATCH, _RATE, _CHECKPOINT_S)
    last = course.follow(training, data.batch, lambda: training.save(settings.work / "vae", pipe))
    return {"loss": last, "samples": float(training.step * _BATCH)}
