"""mini-upscaler: x4, ESPCN-class (Shi et al. 2016), trained on the renderer's own large pictures.

Most of its inputs went through the VAE, so that it cleans the decoder's blur as it enlarges.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from charaforge.logs import track
from charaforge.mini import world
from charaforge.mini.recipes.bank import scene_of
from charaforge.mini.recipes.decoded import decoded_pictures
from charaforge.mini.recipes.export import write_card, write_onnx
from charaforge.mini.recipes.settings import TrainSettings
from charaforge.mini.recipes.steps import Plan, Trainer
from charaforge.mini.recipes.views import as_tensor
from charaforge.mini.render import render
from charaforge.warehouse.atomic import replacing

NAME = "mini-upscaler"
SAMPLES = 50_000
BATCH = 24
FACTOR = 4
DECODED_SHARE = 0.75
PICTURES = 800
_LARGE = FACTOR * world.NATIVE_SIDE
_CROP = 32
_CHANNELS, _BLOCKS = 48, 3
_TAIL_STD = 0.003
_EDGE_WEIGHT = 0.5
_CHUNK = 100


class PlainResidual(nn.Module):
    """Two 3x3 convolutions without norm, added to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Shape-preserving."""
        inner: Tensor = self.second(torch.relu(self.first(x)))
        return x + inner


class UpscalerNet(nn.Module):
    """Pictures (B, 3, H, W) in 0 to 1 to (B, 3, 4H, 4W): nearest neighbour plus what the net adds."""

    def __init__(self) -> None:
        super().__init__()
        head = nn.Sequential(nn.Conv2d(3, _CHANNELS, 5, padding=2), nn.ReLU())
        tail = nn.Conv2d(_CHANNELS, 3 * FACTOR**2, 3, padding=1)
        nn.init.normal_(tail.weight, std=_TAIL_STD)
        self.body = nn.Sequential(head, *(PlainResidual(_CHANNELS) for _ in range(_BLOCKS)), tail)

    def forward(self, pictures: Tensor) -> Tensor:
        """Enlarge by 4; values may leave 0 to 1 a little."""
        nearest = pictures.repeat_interleave(FACTOR**2, 1)
        return F.pixel_shuffle(nearest + self.body(pictures * 2 - 1), FACTOR)


def upscaling_loss(output: Tensor, target: Tensor) -> Tensor:
    """L1, plus the L1 of horizontal and vertical differences, which keeps lines crisp."""
    error = output.float() - target.float()
    across, down = error.diff(dim=-1).abs().mean(), error.diff(dim=-2).abs().mean()
    return error.abs().mean() + _EDGE_WEIGHT * (across + down)


class LargePictures:
    """Renders of 512 px, base and signed scenes in turn, and their box-averaged 128 px versions."""

    def __init__(self, work: Path, count: int) -> None:
        """Render what is missing under ``work``/bank, then map it; count is rounded up to chunks."""
        chunks = range(-(-count // _CHUNK))
        paths = [_large_chunk(work / "bank", i) for i in track(chunks, "rendering 512 px")]
        self._chunks: list[npt.NDArray[np.uint8]] = [np.load(path, mmap_mode="r") for path in paths]

    def __len__(self) -> int:
        return len(self._chunks) * _CHUNK

    def large(self, index: int) -> npt.NDArray[np.uint8]:
        """One picture, uint8 (512, 512, 3)."""
        return np.asarray(self._chunks[index // _CHUNK][index % _CHUNK])

    def pictures(self, indices: npt.ArrayLike) -> npt.NDArray[np.uint8]:
        """The small versions, uint8 (n, 128, 128, 3)."""
        return np.stack([box_average(self.large(i)) for i in np.asarray(indices).tolist()])


def box_average(large: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Mean over squares of 4 x 4 pixels, rounded: uint8 (4H, 4W, 3) to (H, W, 3)."""
    h, w = large.shape[0] // FACTOR, large.shape[1] // FACTOR
    total = large.reshape(h, FACTOR, w, FACTOR, 3).astype(np.uint32).sum((1, 3))
    averaged: npt.NDArray[np.uint8] = ((total + FACTOR**2 // 2) // FACTOR**2).astype(np.uint8)
    return averaged


def _large_chunk(folder: Path, chunk: int) -> Path:
    path = folder / f"large-v{world.WORLD_VERSION}-{chunk:04d}.npy"
    if not path.is_file():
        indices = range(chunk * _CHUNK, (chunk + 1) * _CHUNK)
        pictures = np.stack([render(scene_of(("base", "signed")[i % 2], i), _LARGE) for i in indices])
        with replacing(path) as partial:
            np.save(partial, pictures)
    return path


class _Crops:
    def __init__(self, work: Path, count: int) -> None:
        self._large = LargePictures(work, count)
        self._clean = self._large.pictures(range(len(self._large)))
        self._decoded = decoded_pictures(work, "large", self._large, len(self._large))

    def loss(self, net: nn.Module, rng: np.random.Generator, dtype: torch.dtype) -> Tensor:
        pairs = [self._pair(rng) for _ in range(BATCH)]
        small, large = (as_tensor(side, dtype).add(1).div(2) for side in zip(*pairs, strict=True))
        return upscaling_loss(net(small), large)

    def _pair(self, rng: np.random.Generator) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        index = int(rng.integers(len(self._large)))
        blurred = self._decoded is not None and rng.random() < DECODED_SHARE
        small = self._decoded[index] if blurred and self._decoded is not None else self._clean[index]
        y, x = rng.integers(0, world.NATIVE_SIDE - _CROP + 1, 2)
        rows, columns = slice(y, y + _CROP), slice(x, x + _CROP)
        large = self._large.large(index)[FACTOR * y : FACTOR * (y + _CROP), FACTOR * x : FACTOR * (x + _CROP)]
        return small[rows, columns], large


def train(settings: TrainSettings) -> dict[str, float]:
    """Render large pictures, train on crops, and export to ``settings.out``/mini-upscaler; resumable.

    Returns:
        Final training loss and number of crops.
    """
    samples, out = settings.samples or SAMPLES, settings.out / NAME
    torch.manual_seed(settings.seed)
    net = UpscalerNet()
    crops = _Crops(settings.work, min(PICTURES, samples))
    plan = Plan(steps=-(-samples // BATCH), batch=BATCH, decay=0.0, clip=1.0)
    trainer = Trainer(net, plan, settings.work / f"{NAME}.safetensors", settings.seed)
    final = trainer.fit(lambda rng, dtype: crops.loss(net, rng, dtype))
    export(trainer.finished(UpscalerNet()), out)
    trained_on = {"crops": samples, "seed": settings.seed, "recipe": "charaforge.mini.recipes.upscaler"}
    write_card(out, "upscaler", trained_on, factor=FACTOR)
    return {"loss": final, "samples": float(samples)}


def export(net: nn.Module, out: Path) -> None:
    """Write ``model.onnx`` into ``out``, for pictures of any size."""
    side = world.NATIVE_SIDE
    example, path = torch.zeros(1, 3, side, side), out / "model.onnx"
    write_onnx(net, example, path, ["input"], ["output"], free_axes=(0, 2, 3))
