"""Recipes of the mini ControlNets: pose, depth, and line art with edges (Zhang et al. 2023).

A plain diffusers ``ControlNetModel`` that sees latents, time and the map, but no text (its blocks have no
cross-attention), beside the frozen mini-sd. Its encoder begins as mini-sd's. Of the two zero
initialisations in a ControlNet only that of the outgoing convolutions is kept: with both, a short training
loses most of its samples before anything reaches the map's encoder.
"""

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from charaforge.logs import get_logger
from charaforge.mini.recipes.analytic_vae import LATENT_CHANNELS
from charaforge.mini.recipes.architecture import TEXT_WIDTH, UNET_CHANNELS, build_scheduler
from charaforge.mini.recipes.bank import Bank
from charaforge.mini.recipes.bf16 import MasterWeights, training_dtype
from charaforge.mini.recipes.captions import WordTokenizer, training_caption
from charaforge.mini.recipes.checkpoints import load_checkpoint, save_checkpoint
from charaforge.mini.recipes.course import Course, Rate, shifted_timesteps
from charaforge.mini.recipes.export import write_card
from charaforge.mini.recipes.latents import encode_bank, loss_weights
from charaforge.mini.recipes.maps import Layers, Maps, depth_map, edges, line_map, pose_map
from charaforge.mini.recipes.sdxl import take_over
from charaforge.mini.recipes.settings import TrainSettings
from charaforge.mini.recipes.vae import fitted_pca

_LOG = get_logger(__name__)
BASE = "mini-sd"
PICTURES = 20_000
MAP_CHANNELS = (8, 16, 32, 32)
_BATCH = 32
_SAMPLES = 60_000
RATE = Rate(peak=1.5e-3, warm_up=60, decay_share=0.4)
_TIME_SHIFT = 3.0
"""Leans to noise, where shapes are decided."""
_CHECKPOINT_S = 120.0
_HIDDEN_SHARE = 0.6
_MAP_START = 0.06


class Source(Protocol):
    """Gives the maps of banked pictures."""

    def maps(self, indices: list[int], rng: np.random.Generator) -> Maps:
        """uint8 (n, 128, 128, 3)."""
        ...


class PoseSource:
    """Skeletons from the renderer's exact key points."""

    def __init__(self, work: Path, bank: Bank, count: int) -> None:
        """Nothing is kept: skeletons are quickly drawn."""
        self._bank = bank

    def maps(self, indices: list[int], rng: np.random.Generator) -> Maps:
        """Draw them."""
        return np.stack([pose_map(self._bank.scene(i)) for i in indices])


class DepthSource:
    """Exact depths."""

    def __init__(self, work: Path, bank: Bank, count: int) -> None:
        """Draw the depths of the first ``count`` pictures, or find them in ``work``."""
        self._layers = Layers(work / "maps", bank, "depth", depth_map, count)

    def maps(self, indices: list[int], rng: np.random.Generator) -> Maps:
        """Look them up."""
        return self._layers.maps(indices)


class LineSource:
    """Exact line art, or Canny edges of the picture, half of the time each."""

    def __init__(self, work: Path, bank: Bank, count: int) -> None:
        """Draw the line art of the first ``count`` pictures, or find it in ``work``."""
        self._layers = Layers(work / "maps", bank, "lines", line_map, count)
        self._bank = bank

    def maps(self, indices: list[int], rng: np.random.Generator) -> Maps:
        """Mix both kinds."""
        lines = self._layers.maps(indices)
        cannys = edges(self._bank.pictures(indices), rng)
        return np.where(rng.random(len(indices))[:, None, None, None] < 0.5, lines, cannys)


@dataclass(frozen=True, slots=True)
class Kind:
    """One of the three nets.

    Attributes:
        name: name of the model.
        types: the control types it serves.
        source: class of its maps' source.
    """

    name: str
    types: tuple[str, ...]
    source: type[PoseSource] | type[DepthSource] | type[LineSource]


KINDS: Mapping[str, Kind] = {
    "pose": Kind("mini-controlnet-pose", ("pose",), PoseSource),
    "depth": Kind("mini-controlnet-depth", ("depth",), DepthSource),
    "lineart": Kind("mini-controlnet-lineart", ("lineart", "canny"), LineSource),
}


def build_controlnet() -> ControlNetModel:
    """An untrained net of mini-sd's shape without cross-attention."""
    net = ControlNetModel(
        in_channels=LATENT_CHANNELS,
        conditioning_channels=3,
        down_block_types=("DownBlock2D",) * len(UNET_CHANNELS),
        mid_block_type="UNetMidBlock2D",
        block_out_channels=UNET_CHANNELS,
        layers_per_block=1,
        norm_num_groups=8,
        cross_attention_dim=TEXT_WIDTH,
        conditioning_embedding_out_channels=MAP_CHANNELS,
    )
    nn.init.normal_(net.controlnet_cond_embedding.conv_out.weight, std=_MAP_START)
    return net


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch: as of the base model, with maps (B,3,128,128) in 0..1."""

    latents: Tensor
    noise: Tensor
    timesteps: Tensor
    token_ids: Tensor
    weights: Tensor
    maps: Tensor


class ControlData:
    """Batches of the base bank with their maps; batch ``step`` is the same on every run."""

    def __init__(self, work: Path, kind: Kind, tokenizer: CLIPTokenizer, seed: int) -> None:
        """Render, encode and draw what is missing under ``work``."""
        bank = Bank(work / "bank", "base", PICTURES)
        self._latents = encode_bank(bank, fitted_pca(work), work / "latents.npy")[: len(bank)]
        self._scenes = [bank.scene(i) for i in range(len(bank))]
        self._weights = loss_weights(self._scenes)
        self._source: Source = kind.source(work, bank, PICTURES)
        self._tokenize = WordTokenizer(tokenizer)
        self._seed = seed

    def batch(self, step: int) -> Batch:
        """Draw pictures, wordings, maps, noise and time steps of one step."""
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + step)
        rng = random.Random(f"control {self._seed} {step}")
        index = torch.randint(0, len(self._latents), (_BATCH,), generator=generator)
        latents = self._latents[index].float()
        maps = self._source.maps(index.tolist(), np.random.default_rng((self._seed, step)))
        return Batch(
            latents=latents,
            noise=torch.randn(latents.shape, generator=generator),
            timesteps=shifted_timesteps(_BATCH, generator, _TIME_SHIFT),
            token_ids=torch.tensor([self._tokenize(self._caption(i, rng)) for i in index.tolist()]),
            weights=self._weights[index].float()[:, None],
            maps=torch.from_numpy(maps).permute(0, 3, 1, 2).float() / 255,
        )

    def _caption(self, index: int, rng: random.Random) -> str:
        """A wording that leaves out pose and framing more often than not: the map shall tell them."""
        scene = self._scenes[index]
        hidden = {scene.pose, scene.framing} if rng.random() < _HIDDEN_SHARE else set()
        return training_caption(scene, rng, hidden)


class ControlTraining:
    """A ControlNet beside the frozen mini-sd."""

    def __init__(self, settings: TrainSettings, kind: Kind) -> None:
        """Load mini-sd from ``settings.out`` and begin, or resume from the checkpoint in ``work``."""
        torch.manual_seed(settings.seed)
        base = settings.out / BASE
        self.tokenizer = CLIPTokenizer.from_pretrained(base / "tokenizer")
        self.dtype = training_dtype()
        self.unet = UNet2DConditionModel.from_pretrained(base / "unet", torch_dtype=torch.float32)
        self.text = CLIPTextModel.from_pretrained(base / "text_encoder", torch_dtype=torch.float32)
        self.net = build_controlnet()
        take_over(self.net, self.unet.state_dict())
        self.weights = MasterWeights((self.net,), ema_decay=0.995)
        for module in (self.unet, self.net):
            module.to(dtype=self.dtype, memory_format=torch.channels_last)
        nn.Module.to(self.text, dtype=self.dtype)
        for module in (self.unet, self.text):
            module.requires_grad_(False)
        self.unet.set_attn_processor(AttnProcessor())
        self.text.set_attn_implementation("eager")
        self.optimizer = torch.optim.AdamW(
            self.weights.master, lr=RATE.peak, betas=(0.9, 0.99), weight_decay=0.01, fused=True
        )
        self.alphas = build_scheduler().alphas_cumprod
        self.checkpoint = settings.work / f"{kind.name}.safetensors"
        self.step = load_checkpoint(self.checkpoint, self.weights, self.optimizer)

    def losses(self, batch: Batch) -> Tensor:
        """Weighted squared error of the velocity under control, per sample: (B,)."""
        a = self.alphas[batch.timesteps].view(-1, 1, 1, 1)
        noisy, maps = (
            tensor.to(dtype=self.dtype, memory_format=torch.channels_last)
            for tensor in (a.sqrt() * batch.latents + (1 - a).sqrt() * batch.noise, batch.maps)
        )
        target = a.sqrt() * batch.noise - (1 - a).sqrt() * batch.latents
        with torch.no_grad():
            context = self.text(batch.token_ids)[0]
        down, mid = self.net(noisy, batch.timesteps, context, controlnet_cond=maps, return_dict=False)
        predicted = self.unet(
            noisy,
            batch.timesteps,
            context,
            down_block_additional_residuals=down,
            mid_block_additional_residual=mid,
        ).sample.float()
        errors: Tensor = (predicted - target).square() * batch.weights
        return errors.mean((1, 2, 3))

    def save(self) -> None:
        """Write the checkpoint."""
        save_checkpoint(self.checkpoint, self.weights, self.optimizer, self.step)

    def export(self, folder: Path) -> None:
        """Write the averaged weights as a float16 diffusers folder."""
        net = build_controlnet()
        self.weights.write_average((net,))
        net.to(torch.float16).save_pretrained(folder)


def unet_sha256(out: Path) -> str:
    """The sum of the UNet that a net was trained on, from the card of mini-sd in ``out``."""
    card = json.loads((out / BASE / "card.json").read_text(encoding="utf-8"))
    return str(card["sha256"]["unet/diffusion_pytorch_model.safetensors"])


def train_kind(kind: Kind, settings: TrainSettings) -> dict[str, float]:
    """Train one net and write it to ``settings.out``; the same call goes on where a stopped run was."""
    torch.set_num_threads(1)
    training = ControlTraining(settings, kind)
    data = ControlData(settings.work, kind, training.tokenizer, settings.seed)
    steps = (settings.samples or _SAMPLES) // _BATCH
    course = Course(kind.name, steps, _BATCH, RATE, _CHECKPOINT_S)
    last = course.follow(training, data.batch, training.save)
    folder = settings.out / kind.name
    training.export(folder)
    samples = training.step * _BATCH
    trained_on = {"recipe": f"charaforge mini train controlnet_{kind.types[0]}", "samples": samples}
    write_card(
        folder,
        "controlnet",
        trained_on,
        base=BASE,
        base_sha256=unet_sha256(settings.out),
        uses=list(kind.types),
    )
    return {"loss": last, "samples": float(samples)}
