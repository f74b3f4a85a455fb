"""mini-annotator: depth and line art of a picture, the maps that the mini ControlNets follow.

A small U-shaped net (Ronneberger et al. 2015) on four scales, trained against the renderer's own layers on
damaged views, so that it also reads what a diffusion model has drawn.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from charaforge.mini.recipes.bank import Bank
from charaforge.mini.recipes.convnet import Residual, conv_norm
from charaforge.mini.recipes.decoded import decoded_pictures
from charaforge.mini.recipes.export import write_card, write_onnx
from charaforge.mini.recipes.maps import Layers, depth_map, line_map
from charaforge.mini.recipes.onnx_storage import Storage
from charaforge.mini.recipes.settings import TrainSettings
from charaforge.mini.recipes.steps import Plan, Trainer
from charaforge.mini.recipes.views import Views

NAME = "mini-annotator"
SAMPLES = 60_000
PICTURES = 10_000
DECODED = 600
BATCH = 16
WIDTHS = (16, 32, 48)
_LINE_WEIGHT = 4.0
"""Lines are a twentieth of the pixels; this much more they count."""


class AnnotatorNet(nn.Module):
    """Pictures (B, 3, H, W) in [-1, 1] to logits of depth and lines (B, 2, H, W); H, W multiples of 8."""

    def __init__(self) -> None:
        super().__init__()
        first, second, third = WIDTHS
        self.enter = conv_norm(12, first)
        self.down = nn.ModuleList([conv_norm(first, second, stride=2), conv_norm(second, third, stride=2)])
        self.work = nn.ModuleList([Residual(first), Residual(second), Residual(third)])
        self.up = nn.ModuleList([conv_norm(third, second), conv_norm(second, first)])
        self.last = nn.Sequential(Residual(first), nn.Conv2d(first, 8, 3, padding=1))

    def forward(self, pictures: Tensor) -> Tensor:
        """Half, quarter and eighth resolution, then back up, adding what was there."""
        half = self.work[0](self.enter(F.pixel_unshuffle(pictures, 2)))
        quarter = self.work[1](self.down[0](half))
        eighth = self.work[2](self.down[1](quarter))
        quarter = quarter + F.interpolate(self.up[0](eighth), scale_factor=2.0)
        half = half + F.interpolate(self.up[1](quarter), scale_factor=2.0)
        return F.pixel_shuffle(self.last(half), 2)


class AnnotatorForm(nn.Module):
    """The net as annotators are called: RGB in 0 to 1; "depth" and "lineart" in 0 to 1."""

    def __init__(self, net: AnnotatorNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W) to twice (N, 1, H, W)."""
        drawn = torch.sigmoid(self.net(image * 2 - 1))
        return drawn[:, :1], drawn[:, 1:]


def annotation_loss(logits: Tensor, depth: Tensor, lines: Tensor) -> Tensor:
    """L1 of the depth and weighted cross entropy of the lines; logits (B, 2, H, W), maps (B, H, W) 0 to 1."""
    told = logits.float()
    weight = 1 + _LINE_WEIGHT * lines
    drawn = F.binary_cross_entropy_with_logits(told[:, 1], lines, weight=weight)
    return (torch.sigmoid(told[:, 0]) - depth).abs().mean() + 0.3 * drawn


class _Pairs:
    def __init__(self, work: Path, count: int) -> None:
        bank = Bank(work / "bank", "base", count)
        self._count = len(bank)
        self._depths = Layers(work / "maps", bank, "depth", depth_map, count)
        self._lines = Layers(work / "maps", bank, "lines", line_map, count)
        decoded = decoded_pictures(work, bank.kind, bank, min(DECODED, count))
        self._views = Views([bank], [decoded], fixed_geometry=True)

    def loss(self, net: AnnotatorNet, rng: np.random.Generator, dtype: torch.dtype) -> Tensor:
        index = rng.integers(0, self._count, BATCH)
        if rng.random() < 0.3:
            index = rng.integers(0, min(DECODED, self._count), BATCH)
        depth, lines = (
            torch.from_numpy(layer.maps(index.tolist())[..., 0]).float() / 255
            for layer in (self._depths, self._lines)
        )
        return annotation_loss(net(self._views.tensor(rng, index, dtype)), depth, lines)


def train(settings: TrainSettings) -> dict[str, float]:
    """Render, train and export to ``settings.out``/mini-annotator; resumable."""
    samples, out = settings.samples or SAMPLES, settings.out / NAME
    torch.set_num_threads(1)
    torch.manual_seed(settings.seed)
    net, pairs = AnnotatorNet(), _Pairs(settings.work, min(PICTURES, samples))
    plan = Plan(steps=-(-samples // BATCH), batch=BATCH)
    trainer = Trainer(net, plan, settings.work / f"{NAME}.safetensors", settings.seed)
    final = trainer.fit(lambda rng, dtype: pairs.loss(net, rng, dtype))
    export(trainer.finished(AnnotatorNet()), out)
    trained_on = {"pictures": samples, "seed": settings.seed, "recipe": "charaforge.mini.recipes.annotator"}
    write_card(out, "annotator", trained_on)
    return {"loss": final, "samples": float(samples)}


def export(net: nn.Module, out: Path) -> None:
    """Write ``model.onnx`` into ``out``."""
    assert isinstance(net, AnnotatorNet)
    write_onnx(
        AnnotatorForm(net),
        torch.zeros(1, 3, 128, 128),
        out / "model.onnx",
        ["image"],
        ["depth", "lineart"],
        free_axes=(0, 2, 3),
        storage=Storage.HALF,
    )
