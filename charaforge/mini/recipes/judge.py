"""mini-signature-judge: which signature trait a picture shows, and nothing else.

It shares neither characters, architecture nor augmentation seed with mini-identity, so that the two can
contradict each other.
"""

from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from charaforge.mini import world
from charaforge.mini.recipes.bank import Bank
from charaforge.mini.recipes.convnet import conv_norm
from charaforge.mini.recipes.decoded import decoded_pictures
from charaforge.mini.recipes.export import write_card, write_onnx
from charaforge.mini.recipes.onnx_storage import Storage
from charaforge.mini.recipes.settings import TrainSettings
from charaforge.mini.recipes.steps import Plan, Trainer
from charaforge.mini.recipes.views import Views
from charaforge.mini.scenes import Scene
from charaforge.warehouse.atomic import write_json

NAME = "mini-signature-judge"
SAMPLES = 40_000
BATCH = 64
SIGNED_PICTURES, BASE_PICTURES, DECODED = 12_000, 4000, 1000
KINDS = ("none", *world.SIGNATURE_KINDS)
COLORS = ("none", *world.SIGNATURE_COLORS)
_AUGMENTATION = 7919


class JudgeNet(nn.Module):
    """A plain stack of strided convolutions: (B, 3, 128, 128) in 0 to 1 to logits (B, kinds + colours)."""

    def __init__(self) -> None:
        super().__init__()
        widths = (24, 32, 48, 64, 80)
        layers: list[nn.Module] = [nn.Conv2d(3, widths[0], 5, stride=2, padding=2, bias=False)]
        layers += [nn.BatchNorm2d(widths[0]), nn.ReLU()]
        for narrow, wide in pairwise(widths):
            layers += [conv_norm(narrow, wide, stride=2), conv_norm(wide, wide)]
        self.features = nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten())
        self.heads = nn.Linear(widths[-1], len(KINDS) + len(COLORS))

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits: kinds first, then colours."""
        logits: Tensor = self.heads(self.features(pictures * 2 - 1))
        return logits


def labels_of(scene: Scene) -> list[int]:
    """Indices of the scene's signature kind and colour."""
    if scene.signature is None:
        return [0, 0]
    return [KINDS.index(scene.signature.kind), COLORS.index(scene.signature.color)]


def judge_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy of kind plus that of colour; logits (B, kinds + colours), labels int64 (B, 2)."""
    kinds, colors = logits.float().split([len(KINDS), len(COLORS)], 1)
    return F.cross_entropy(kinds, labels[:, 0]) + F.cross_entropy(colors, labels[:, 1])


class _Judged:
    def __init__(self, work: Path, samples: int) -> None:
        share = min(1.0, samples / SIGNED_PICTURES)
        banks = [
            Bank(work / "bank", kind, round(count * share))
            for kind, count in (("judged", SIGNED_PICTURES), ("base", BASE_PICTURES))
        ]
        self._views = Views(banks, [decoded_pictures(work, b.kind, b, min(DECODED, len(b))) for b in banks])
        self._labels = torch.tensor([labels_of(b.scene(i)) for b in banks for i in range(len(b))])

    def loss(self, net: JudgeNet, rng: np.random.Generator, dtype: torch.dtype) -> Tensor:
        chosen = rng.integers(0, len(self._views), BATCH)
        pictures = (self._views.tensor(rng, chosen, dtype) + 1) / 2
        return judge_loss(net(pictures), self._labels[torch.from_numpy(chosen)])


def train(settings: TrainSettings) -> dict[str, float]:
    """Render the banks, train, and export to ``settings.out``/mini-signature-judge; resumable.

    Returns:
        Final training loss and number of pictures.
    """
    samples, out = settings.samples or SAMPLES, settings.out / NAME
    torch.manual_seed(settings.seed + _AUGMENTATION)
    net = JudgeNet()
    judged = _Judged(settings.work, samples)
    plan = Plan(steps=-(-samples // BATCH), batch=BATCH)
    checkpoint = settings.work / f"{NAME}.safetensors"
    trainer = Trainer(net, plan, checkpoint, settings.seed + _AUGMENTATION)
    final = trainer.fit(lambda rng, dtype: judged.loss(net, rng, dtype))
    export(trainer.finished(JudgeNet()), out)
    trained_on = {"pictures": samples, "seed": settings.seed, "recipe": "charaforge.mini.recipes.judge"}
    write_card(out, "judge", trained_on)
    return {"loss": final, "samples": float(samples)}


def export(net: nn.Module, out: Path) -> None:
    """Write ``model.onnx`` and ``labels.json`` into ``out``."""
    write_onnx(
        net, torch.zeros(1, 3, 128, 128), out / "model.onnx", ["input"], ["logits"], storage=Storage.BYTE
    )
    write_json(out / "labels.json", {"kinds": KINDS, "colors": COLORS})
