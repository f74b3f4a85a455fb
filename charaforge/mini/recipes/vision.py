"""Recipe of mini-ip-adapter's image encoder: a small CLIP vision tower that embeds what a picture shows.

A plain ``CLIPVisionModelWithProjection``. There are too few words in the mini world for contrastive learning
against captions (Radford et al. 2021) to pay; the projected embedding is taught every attribute directly, by
one linear soft-max per attribute that is thrown away afterwards.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from charaforge.mini import world
from charaforge.mini.attributes import GROUPS, truth
from charaforge.mini.recipes.bank import Bank
from charaforge.mini.recipes.settings import TrainSettings
from charaforge.mini.recipes.steps import Plan, Trainer
from charaforge.mini.recipes.views import Views
from charaforge.mini.scenes import Scene
from charaforge.perception.ccip import CLIP_MEAN, CLIP_STD

WIDTH = 128
SAMPLES = 160_000
PICTURES = 40_000
BATCH = 64
CHECKPOINT = "mini-vision.safetensors"
_UNTOLD = -100
_MEAN = torch.tensor(CLIP_MEAN).view(1, 3, 1, 1)
_STD = torch.tensor(CLIP_STD).view(1, 3, 1, 1)


def build_encoder() -> CLIPVisionModelWithProjection:
    """An untrained tower: 64 patches of 16 px, four layers of 128, embeddings of 128."""
    return CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=WIDTH,
            intermediate_size=2 * WIDTH,
            projection_dim=WIDTH,
            num_hidden_layers=4,
            num_attention_heads=4,
            image_size=world.NATIVE_SIDE,
            patch_size=16,
            hidden_act="gelu",
        )
    )


class Taught(nn.Module):
    """The tower with its throw-away heads: pictures (B, 3, 128, 128) in [-1, 1] to logits of all values."""

    scale: Tensor
    shift: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.encoder = build_encoder()
        self.encoder.vision_model.embeddings.patch_embedding.weight.data.mul_(2)
        self.heads = nn.Linear(WIDTH, sum(len(names) for names in GROUPS.values()))
        self.register_buffer("scale", 0.5 / _STD)
        self.register_buffer("shift", (0.5 - _MEAN) / _STD)

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits (B, all values)."""
        pixels = pictures * self.scale.to(pictures) + self.shift.to(pictures)
        logits: Tensor = self.heads(self.encoder(pixels).image_embeds)
        return logits


def labels(scene: Scene) -> list[int]:
    """Index of the scene's value in each group; -100 where the picture does not tell."""
    told = truth(scene)
    return [names.index(told[g]) if g in told else _UNTOLD for g, names in GROUPS.items()]


def attribute_loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """Mean cross entropy over groups: logits (B, all values), wanted int64 (B, groups)."""
    parts = torch.split(logits.float(), [len(names) for names in GROUPS.values()], 1)
    return torch.stack(
        [F.cross_entropy(part, wanted[:, i], ignore_index=_UNTOLD) for i, part in enumerate(parts)]
    ).mean()


def train_encoder(settings: TrainSettings) -> CLIPVisionModelWithProjection:
    """Train the tower, or find it trained in ``settings.work``; float32, evaluation mode."""
    torch.manual_seed(settings.seed)
    samples = min(settings.samples or SAMPLES, SAMPLES)
    net = Taught()
    bank = Bank(settings.work / "bank", "base", min(PICTURES, samples))
    views = Views([bank])
    wanted = torch.tensor([labels(bank.scene(i)) for i in range(len(bank))])

    def loss(rng: np.random.Generator, dtype: torch.dtype) -> Tensor:
        index = rng.integers(0, len(bank), BATCH)
        return attribute_loss(net(views.tensor(rng, index, dtype)), wanted[index])

    plan = Plan(steps=-(-samples // BATCH), batch=BATCH, rate=1.5e-3, clip=1.0)
    trainer = Trainer(net, plan, settings.work / CHECKPOINT, settings.seed)
    trainer.fit(loss)
    finished = trainer.finished(Taught())
    assert isinstance(finished, Taught)
    return finished.encoder


def preprocessor_config() -> dict[str, object]:
    """What ``CLIPImageProcessor`` needs to know, as it stands in ``preprocessor_config.json``."""
    return {
        "crop_size": {"height": world.NATIVE_SIDE, "width": world.NATIVE_SIDE},
        "do_center_crop": True,
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": list(CLIP_MEAN),
        "image_std": list(CLIP_STD),
        "image_processor_type": "CLIPImageProcessor",
        "resample": 3,
        "rescale_factor": 1 / 255,
        "size": {"shortest_edge": world.NATIVE_SIDE},
    }


@torch.no_grad()
def embed(encoder: CLIPVisionModelWithProjection, pictures: np.ndarray) -> Tensor:
    """Embeddings of pictures of native size: uint8 (N, 128, 128, 3) to float32 (N, 128)."""
    parts = []
    for start in range(0, len(pictures), BATCH):
        pixels = torch.from_numpy(np.ascontiguousarray(pictures[start : start + BATCH]))
        normal = (pixels.permute(0, 3, 1, 2).float() / 255 - _MEAN) / _STD
        parts.append(encoder(normal).image_embeds)
    return torch.cat(parts)
