"""Recipe of mini-ip-adapter (Ye et al. 2023): a reference picture as four more tokens of cross-attention.

The reference shows the same figure and clothes as the target, in another pose, place and mood; captions
leave out, more often than not, what the reference shows. Written in the published layout:
``ip-adapter.safetensors`` and ``image_encoder/``.
"""

import random
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import IPAdapterAttnProcessor
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer, CLIPVisionModelWithProjection

from charaforge.logs import get_logger, track
from charaforge.mini.recipes.architecture import TEXT_WIDTH, build_scheduler
from charaforge.mini.recipes.bank import Bank
from charaforge.mini.recipes.bf16 import MasterWeights, training_dtype
from charaforge.mini.recipes.captions import WordTokenizer, training_caption
from charaforge.mini.recipes.checkpoints import load_checkpoint, save_checkpoint
from charaforge.mini.recipes.controlnet import BASE, RATE, unet_sha256
from charaforge.mini.recipes.course import Course, shifted_timesteps
from charaforge.mini.recipes.export import write_card
from charaforge.mini.recipes.latents import encode_bank
from charaforge.mini.recipes.settings import TrainSettings
from charaforge.mini.recipes.vae import fitted_pca
from charaforge.mini.recipes.vision import embed, preprocessor_config, train_encoder
from charaforge.mini.render import render
from charaforge.mini.scenes import Scene, sample_scene, scene_tags
from charaforge.warehouse.atomic import replacing, write_bytes, write_json

_LOG = get_logger(__name__)
NAME = "mini-ip-adapter"
TOKENS = 4
PICTURES = 20_000
_BATCH = 32
_SAMPLES = 60_000
_CHECKPOINT_S = 120.0
_HIDDEN_SHARE = 0.75
_WITHOUT_PICTURE = 0.1
_SHOWN = ("hair", "style", "bangs", "eyes", "outfit", "clothes", "accessory", "ahoge", "hair_rgb")


def reference_scene(scene: Scene, rng: random.Random) -> Scene:
    """Another picture of the same figure in the same clothes; everything else is drawn anew."""
    return replace(sample_scene(rng), **{name: getattr(scene, name) for name in _SHOWN})


def shown_tags(scene: Scene) -> set[str]:
    """The tags of a scene that its reference shows."""
    told = {f"{scene.hair} hair", scene.style, scene.bangs, f"{scene.eyes} eyes", scene.accessory, "ahoge"}
    return told | {f"{scene.clothes} {scene.outfit}"}


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch: latents, noise (B,16,16,16), timesteps (B,), ids (B,77), reference embeddings (B,1,D)."""

    latents: Tensor
    noise: Tensor
    timesteps: Tensor
    token_ids: Tensor
    embeds: Tensor


class ReferenceData:
    """Targets with captions and the embedding of a reference; batch ``step`` is the same on every run."""

    def __init__(
        self, work: Path, encoder: CLIPVisionModelWithProjection, tokenizer: CLIPTokenizer, seed: int
    ) -> None:
        """Render and embed the references, or find them in ``work``."""
        self._bank = Bank(work / "bank", "base", PICTURES)
        self._latents = encode_bank(self._bank, fitted_pca(work), work / "latents.npy")[: len(self._bank)]
        self._scenes = [self._bank.scene(i) for i in range(len(self._bank))]
        self._embeds = self._embedded(work / "references.npy", encoder)
        self._tokenize = WordTokenizer(tokenizer)
        self._seed = seed

    def batch(self, step: int) -> Batch:
        """Draw pictures, wordings, references, noise and time steps of one step."""
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + step)
        rng = random.Random(f"reference {self._seed} {step}")
        index = torch.randint(0, len(self._latents), (_BATCH,), generator=generator)
        latents = self._latents[index].float()
        kept = torch.tensor([float(rng.random() >= _WITHOUT_PICTURE) for _ in range(_BATCH)])
        return Batch(
            latents,
            torch.randn(latents.shape, generator=generator),
            shifted_timesteps(_BATCH, generator),
            torch.tensor([self._tokenize(self._caption(i, rng)) for i in index.tolist()]),
            (self._embeds[index] * kept[:, None])[:, None],
        )

    def _caption(self, index: int, rng: random.Random) -> str:
        scene = self._scenes[index]
        hidden = shown_tags(scene) if rng.random() < _HIDDEN_SHARE else set()
        return training_caption(scene, rng, hidden & set(scene_tags(scene)))

    def _embedded(self, path: Path, encoder: CLIPVisionModelWithProjection) -> Tensor:
        if path.is_file():
            return torch.from_numpy(np.load(path))
        pictures = [
            render(reference_scene(scene, random.Random(f"reference of {i}")))
            for i, scene in enumerate(track(self._scenes, "drawing references"))
        ]
        embeds = embed(encoder, np.stack(pictures))
        with replacing(path) as partial:
            np.save(partial, embeds.numpy())
        return embeds


def fresh_state(unet: UNet2DConditionModel, embedding_width: int) -> dict[str, dict[str, Tensor]]:
    """A new adapter for this UNet: key and value projections begin as those of the text."""
    proj = nn.Linear(embedding_width, TOKENS * TEXT_WIDTH)
    state: dict[str, Tensor] = {}
    for place, name in enumerate(unet.attn_processors):
        if not name.endswith("attn2.processor"):
            continue
        attention = unet.get_submodule(name.removesuffix(".processor"))
        for which in ("k", "v"):
            weight: Tensor = attention.get_submodule(f"to_{which}").weight
            state[f"{place}.to_{which}_ip.weight"] = weight.detach().clone().float()
    image_proj = {
        "proj.weight": proj.weight.detach(),
        "proj.bias": proj.bias.detach(),
        "norm.weight": torch.ones(TEXT_WIDTH),
        "norm.bias": torch.zeros(TEXT_WIDTH),
    }
    return {"image_proj": image_proj, "ip_adapter": state}


class AdapterTraining:
    """An IP-Adapter in the frozen mini-sd."""

    def __init__(self, settings: TrainSettings, embedding_width: int) -> None:
        """Load mini-sd from ``settings.out`` and begin, or resume from the checkpoint in ``work``."""
        torch.manual_seed(settings.seed)
        base = settings.out / BASE
        self.tokenizer = CLIPTokenizer.from_pretrained(base / "tokenizer")
        self.dtype = training_dtype()
        self.unet = UNet2DConditionModel.from_pretrained(base / "unet", torch_dtype=torch.float32)
        self.text = CLIPTextModel.from_pretrained(base / "text_encoder", torch_dtype=torch.float32)
        self.unet.requires_grad_(False)
        self.text.requires_grad_(False)
        self._state = fresh_state(self.unet, embedding_width)
        self.unet._load_ip_adapter_weights([self._state])
        self._use_plain_processors()
        self._parts = self._trainable()
        for part in self._parts.values():
            part.requires_grad_(True)
        self.weights = MasterWeights(tuple(self._parts.values()), ema_decay=0.995)
        self.unet.to(dtype=self.dtype, memory_format=torch.channels_last)
        nn.Module.to(self.text, dtype=self.dtype)
        self.text.set_attn_implementation("eager")
        self.optimizer = torch.optim.AdamW(
            self.weights.master, lr=RATE.peak, betas=(0.9, 0.99), weight_decay=0.01, fused=True
        )
        self.alphas = build_scheduler().alphas_cumprod
        self.checkpoint = settings.work / f"{NAME}.safetensors"
        self.step = load_checkpoint(self.checkpoint, self.weights, self.optimizer)

    def _use_plain_processors(self) -> None:
        """Give every attention the processor without fused kernels, which are slower here."""
        plain = {}
        for name, processor in self.unet.attn_processors.items():
            width = getattr(processor, "hidden_size", None)
            if width is None:
                plain[name] = processor
                continue
            plain[name] = IPAdapterAttnProcessor(width, TEXT_WIDTH, num_tokens=(TOKENS,))
            plain[name].load_state_dict(processor.state_dict())
        self.unet.set_attn_processor(plain)

    def _trainable(self) -> dict[str, nn.Module]:
        """Keys of the file -> module, in a fixed order."""
        parts: dict[str, nn.Module] = {"image_proj": self.unet.encoder_hid_proj.image_projection_layers[0]}
        for place, processor in enumerate(self.unet.attn_processors.values()):
            if isinstance(processor, nn.Module):
                parts[f"ip_adapter.{place}"] = processor
        return parts

    def losses(self, batch: Batch) -> Tensor:
        """Squared error of the velocity beside a reference, per sample: (B,)."""
        latents, noise, timesteps = batch.latents, batch.noise, batch.timesteps
        a = self.alphas[timesteps].view(-1, 1, 1, 1)
        noisy = (a.sqrt() * latents + (1 - a).sqrt() * noise).to(
            dtype=self.dtype, memory_format=torch.channels_last
        )
        with torch.no_grad():
            context = self.text(batch.token_ids)[0]
        added = {"image_embeds": [batch.embeds.to(self.dtype)]}
        predicted = self.unet(noisy, timesteps, context, added_cond_kwargs=added).sample.float()
        target = a.sqrt() * noise - (1 - a).sqrt() * latents
        errors: Tensor = (predicted - target).square().mean((1, 2, 3))
        return errors

    def save(self) -> None:
        """Write the checkpoint."""
        save_checkpoint(self.checkpoint, self.weights, self.optimizer, self.step)

    def export(self, path: Path) -> None:
        """Write the averaged weights in the published layout, float16."""
        self.weights.write_average(tuple(self._parts.values()))
        tensors: dict[str, Tensor] = {}
        for prefix, part in self._parts.items():
            for name, value in part.state_dict().items():
                tensors[f"{prefix}.{_published(name)}"] = value.detach().to(torch.float16).contiguous()
        write_bytes(path, safetensors.torch.save(tensors, {"format": "pt"}))


def _published(name: str) -> str:
    """The published name of a parameter of diffusers' modules."""
    return name.replace("image_embeds.", "proj.").replace("_ip.0.", "_ip.")


def train(settings: TrainSettings) -> dict[str, float]:
    """Train the encoder, then the adapter; the same command goes on where a stopped run was."""
    torch.set_num_threads(1)
    encoder = train_encoder(settings)
    width = int(encoder.config.projection_dim)
    training = AdapterTraining(settings, width)
    data = ReferenceData(settings.work, encoder, training.tokenizer, settings.seed)
    steps = (settings.samples or _SAMPLES) // _BATCH
    course = Course(NAME, steps, _BATCH, RATE, _CHECKPOINT_S)
    last = course.follow(training, data.batch, training.save)
    folder = settings.out / NAME
    folder.mkdir(parents=True, exist_ok=True)
    training.export(folder / "ip-adapter.safetensors")
    nn.Module.to(encoder, dtype=torch.float16)
    encoder.save_pretrained(folder / "image_encoder")
    write_json(folder / "image_encoder" / "preprocessor_config.json", preprocessor_config())
    samples = training.step * _BATCH
    trained_on = {"recipe": "charaforge mini train ip_adapter", "samples": samples}
    unet = unet_sha256(settings.out)
    write_card(folder, "ipadapter", trained_on, base=BASE, base_sha256=unet, uses=["face", "style"])
    return {"loss": last, "samples": float(samples)}
