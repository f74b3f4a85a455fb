"""mini-pose: 18 OpenPose key points by SimCC, one soft-max per joint and axis (Li et al. 2022)."""

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from charaforge.mini import world
from charaforge.mini.recipes.bank import Bank
from charaforge.mini.recipes.convnet import MeanAndMax, Residual, Trunk, conv_norm
from charaforge.mini.recipes.decoded import decoded_pictures
from charaforge.mini.recipes.export import write_card, write_onnx
from charaforge.mini.recipes.onnx_storage import Storage
from charaforge.mini.recipes.settings import TrainSettings
from charaforge.mini.recipes.steps import Plan, Trainer
from charaforge.mini.recipes.views import Views
from charaforge.mini.render import keypoints
from charaforge.perception.simcc import MMPOSE_MEAN, MMPOSE_STD, OPENPOSE_JOINTS

NAME = "mini-pose"
SAMPLES = 80_000
BATCH = 64
BASE_PICTURES, SIGNED_PICTURES, DECODED = 40_000, 12_000, 600
SIGMA = 4.0
"""Standard deviation of the target distribution in bins; a bin is half a pixel."""

_BINS = 2 * world.NATIVE_SIDE
_VISIBLE_WEIGHT = 2.0


class PoseNet(nn.Module):
    """Pictures (B, 3, 128, 128) in [-1, 1] to logits x (B, 18, 256), y (B, 18, 256) and visible (B, 18)."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = Trunk((32, 64), (1, 2))
        self.coarse = nn.Sequential(conv_norm(64, 96, stride=2), Residual(96), conv_norm(96, 64))
        self.joints = nn.Sequential(conv_norm(64, 64), nn.Conv2d(64, OPENPOSE_JOINTS, 1))
        cells = (world.NATIVE_SIDE // 8) ** 2
        self.along_x, self.along_y = nn.Linear(cells, _BINS), nn.Linear(cells, _BINS)
        self.visible = nn.Sequential(MeanAndMax(), nn.Linear(128, OPENPOSE_JOINTS))

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits along x, along y, and of being in the frame."""
        fine = self.fine(pictures)
        coarse = self.coarse(fine)
        maps = self.joints(fine + F.interpolate(coarse, scale_factor=2.0)).flatten(2)
        return self.along_x(maps), self.along_y(maps), self.visible(coarse)


class SimCCForm(nn.Module):
    """The net as RTMPose models are called; a distribution's peak is 1 where the net is certain."""

    scale: Tensor
    shift: Tensor

    def __init__(self, net: PoseNet) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("scale", torch.tensor(MMPOSE_STD).view(1, 3, 1, 1) / 127.5)
        self.register_buffer("shift", torch.tensor(MMPOSE_MEAN).view(1, 3, 1, 1) / 127.5 - 1)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, 128, 128), normalised as mmpose does, to simcc_x and simcc_y (N, 18, 256)."""
        x, y, visible = self.net(pictures * self.scale + self.shift)
        peak = visible.sigmoid()[..., None] * (SIGMA * math.sqrt(2 * math.pi))
        return x.softmax(2) * peak, y.softmax(2) * peak


def simcc_targets(coordinates: Tensor) -> Tensor:
    """Gaussian distributions over the bins: coordinates in px (B, K) to (B, K, 256), each summing to 1."""
    bins = torch.arange(_BINS, dtype=torch.float32)
    return (-((bins - coordinates[..., None] * 2) ** 2) / (2 * SIGMA**2)).softmax(-1)


def pose_loss(output: tuple[Tensor, Tensor, Tensor], points: Tensor) -> Tensor:
    """Cross entropy against Gaussian targets over the joints in the frame, plus that of being in the frame.

    ``points``: (B, 18, 3), x and y in pixels of 128, and 1 where the joint is in the frame.
    """
    x, y, visible = (o.float() for o in output)
    seen = points[..., 2]
    loss = _VISIBLE_WEIGHT * F.binary_cross_entropy_with_logits(visible, seen)
    for axis, logits in enumerate((x, y)):
        crossed = -(simcc_targets(points[..., axis]) * logits.log_softmax(2)).sum(2)
        loss = loss + (crossed * seen).sum() / seen.sum().clamp_min(1)
    return loss


class _Posed:
    def __init__(self, work: Path, samples: int) -> None:
        share = min(1.0, samples / (BASE_PICTURES + SIGNED_PICTURES))
        banks = [
            Bank(work / "bank", kind, round(count * share))
            for kind, count in (("base", BASE_PICTURES), ("signed", SIGNED_PICTURES))
        ]
        decoded = [decoded_pictures(work, b.kind, b, min(DECODED, len(b))) for b in banks]
        self._views = Views(banks, decoded, fixed_geometry=True)
        points = [keypoints(bank.scene(i)) for bank in banks for i in range(len(bank))]
        self._points = torch.from_numpy(np.stack(points))

    def loss(self, net: PoseNet, rng: np.random.Generator, dtype: torch.dtype) -> Tensor:
        chosen = rng.integers(0, len(self._views), BATCH)
        points = self._points[torch.from_numpy(chosen)]
        return pose_loss(net(self._views.tensor(rng, chosen, dtype)), points)


def train(settings: TrainSettings) -> dict[str, float]:
    """Render the banks, train, and export to ``settings.out``/mini-pose; resumable.

    Returns:
        Final training loss and number of pictures.
    """
    samples, out = settings.samples or SAMPLES, settings.out / NAME
    torch.manual_seed(settings.seed)
    net = PoseNet()
    posed = _Posed(settings.work, samples)
    plan = Plan(steps=-(-samples // BATCH), batch=BATCH)
    trainer = Trainer(net, plan, settings.work / f"{NAME}.safetensors", settings.seed)
    final = trainer.fit(lambda rng, dtype: posed.loss(net, rng, dtype))
    export(trainer.finished(PoseNet()), out)
    trained_on = {"pictures": samples, "seed": settings.seed, "recipe": "charaforge.mini.recipes.pose"}
    write_card(out, "pose", trained_on)
    return {"loss": final, "samples": float(samples)}


def export(net: nn.Module, out: Path) -> None:
    """Write ``model.onnx`` into ``out``."""
    assert isinstance(net, PoseNet)
    example = torch.zeros(1, 3, world.NATIVE_SIDE, world.NATIVE_SIDE)
    write_onnx(
        SimCCForm(net), example, out / "model.onnx", ["input"], ["simcc_x", "simcc_y"], storage=Storage.BYTE
    )
