"""mini-tagger: one soft-max head per attribute group, exported as a WD14 tagger over the world's tags."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from charaforge.mini import world
from charaforge.mini.attributes import GROUPS
from charaforge.mini.recipes.bank import Bank, scene_of
from charaforge.mini.recipes.convnet import MeanAndMax, Trunk, conv_norm
from charaforge.mini.recipes.decoded import decoded_pictures
from charaforge.mini.recipes.export import write_card, write_onnx
from charaforge.mini.recipes.onnx_storage import Storage
from charaforge.mini.recipes.settings import TrainSettings
from charaforge.mini.recipes.steps import Plan, Trainer
from charaforge.mini.recipes.views import Views
from charaforge.mini.scenes import Scene, all_tags, scene_tags
from charaforge.warehouse.atomic import write_text

NAME = "mini-tagger"
SAMPLES = 90_000
BATCH = 64
BASE_PICTURES, SIGNED_PICTURES, DECODED = 50_000, 16_000, 2000
_FLAGS = ("ahoge", "blush")
_HEADS = {**{g: len(v) for g, v in GROUPS.items()}, **dict.fromkeys(_FLAGS, 2)}
_IGNORED = -100


class TaggerNet(nn.Module):
    """Pictures (B, 3, 128, 128) in [-1, 1] to the logits of all heads side by side (B, sum of head sizes)."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = Trunk((40, 64, 96), (2, 2, 1))
        self.top = nn.Sequential(conv_norm(96, 128), MeanAndMax())
        self.heads = nn.Linear(256, sum(_HEADS.values()))

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits, in the order of the heads."""
        logits: Tensor = self.heads(self.top(self.trunk(pictures)))
        return logits


class WD14Form(nn.Module):
    """The net as WD14 taggers are called: NHWC, BGR, 0 to 255 in, one probability per tag out."""

    def __init__(self, net: TaggerNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, 128, 128, 3) float32 to (N, tags) float32 in 0 to 1, in the order of ``all_tags``."""
        rgb = pictures.permute(0, 3, 1, 2).flip(1) / 127.5 - 1
        parts = torch.split(self.net(rgb), list(_HEADS.values()), 1)
        p = {head: logits.softmax(1) for head, logits in zip(_HEADS, parts, strict=True)}
        always = torch.ones_like(p["framing"])
        open_eyes = 1 - p["expression"][:, [world.EXPRESSIONS.index("closed eyes")]]
        garments = (p["outfit"][:, :, None] * p["clothes"][:, None, :]).flatten(1)
        face = [p["hair"], p["style"], p["bangs"], p["eyes"] * open_eyes, p["expression"]]
        marks = [p["accessory"][:, 1:], p["ahoge"][:, 1:], p["blush"][:, 1:]]
        return torch.cat([always, p["framing"], *face, garments, *marks, p["pose"], p["background"]], 1)


def labels_of(scene: Scene) -> list[int]:
    """The index of the right class for each head; eye colour is ignored while the eyes are closed."""
    labels = [GROUPS[g].index(getattr(scene, g)) for g in GROUPS]
    if scene.expression == "closed eyes":
        labels[list(GROUPS).index("eyes")] = _IGNORED
    return [*labels, *(int(getattr(scene, flag)) for flag in _FLAGS)]


def tagger_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Sum over heads of the cross entropy; logits (B, classes), labels int64 (B, heads)."""
    parts = torch.split(logits.float(), list(_HEADS.values()), 1)
    losses = [F.cross_entropy(part, labels[:, i], ignore_index=_IGNORED) for i, part in enumerate(parts)]
    return torch.stack(losses).sum()


def train(settings: TrainSettings) -> dict[str, float]:
    """Render the banks, train, export to ``settings.out``/mini-tagger and measure; resumable.

    Returns:
        Final training loss and number of pictures.
    """
    samples, out = settings.samples or SAMPLES, settings.out / NAME
    torch.manual_seed(settings.seed)
    net = TaggerNet()
    plan = Plan(steps=-(-samples // BATCH), batch=BATCH, rate=3e-3)
    views = _LabelledViews(settings.work, samples)
    trainer = Trainer(net, plan, settings.work / f"{NAME}.safetensors", settings.seed)
    final = trainer.fit(lambda rng, dtype: tagger_loss(net(views.batch(rng, dtype)), views.labels))
    export(trainer.finished(TaggerNet()), out)
    trained_on = {"pictures": samples, "seed": settings.seed, "recipe": "charaforge.mini.recipes.tagger"}
    write_card(out, "tagger", trained_on)
    return {"loss": final, "samples": float(samples)}


class _LabelledViews:
    def __init__(self, work: Path, samples: int) -> None:
        share = min(1.0, samples / (BASE_PICTURES + SIGNED_PICTURES))
        banks = [
            Bank(work / "bank", "base", round(BASE_PICTURES * share)),
            Bank(work / "bank", "signed", round(SIGNED_PICTURES * share)),
        ]
        self._views = Views(banks, [decoded_pictures(work, b.kind, b, min(DECODED, len(b))) for b in banks])
        self._table = torch.tensor([labels_of(b.scene(i)) for b in banks for i in range(len(b))])
        self.labels = self._table[:0]

    def batch(self, rng: np.random.Generator, dtype: torch.dtype) -> Tensor:
        """A batch of pictures in [-1, 1]; their labels are then in ``labels``."""
        chosen = rng.integers(0, len(self._table), BATCH)
        self.labels = self._table[torch.from_numpy(chosen)]
        return self._views.tensor(rng, chosen, dtype)


def export(net: nn.Module, out: Path) -> None:
    """Write ``model.onnx`` and ``selected_tags.csv`` into ``out``."""
    assert isinstance(net, TaggerNet)
    write_onnx(
        WD14Form(net),
        torch.zeros(1, 128, 128, 3),
        out / "model.onnx",
        ["input"],
        ["output"],
        storage=Storage.BYTE,
    )
    rows = [f"{i},{tag.replace(' ', '_')},0,{count}" for i, (tag, count) in enumerate(_tag_counts().items())]
    write_text(out / "selected_tags.csv", "\n".join(["tag_id,name,category,count", *rows]) + "\n")


def _tag_counts(pictures: int = 4000) -> dict[str, int]:
    """How often each tag occurs in the first pictures of the base world's training bank."""
    counts = dict.fromkeys(all_tags(), 0)
    for i in range(pictures):
        for tag in scene_tags(scene_of("base", i)):
            counts[tag] += 1
    return counts
