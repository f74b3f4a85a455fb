"""mini-identity: a metric in which pictures of one character are close, whatever it wears or does.

Supervised contrastive learning (Khosla et al. 2020) on whole families of easily confused characters per
batch, with the named traits as an auxiliary task. Exported in the layout of CCIP.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from charaforge.mini import world
from charaforge.mini.attributes import GROUPS
from charaforge.mini.characters import Character
from charaforge.mini.measure.identity import calibrated_threshold
from charaforge.mini.recipes.bank import CALIBRATION_CHARACTERS, FAMILY_CHARACTERS, Bank
from charaforge.mini.recipes.convnet import MeanAndMax, Trunk, conv_norm
from charaforge.mini.recipes.decoded import decoded_pictures
from charaforge.mini.recipes.export import write_card, write_onnx
from charaforge.mini.recipes.families import FAMILY_SIZE, family_member, identity_label, same_words_label
from charaforge.mini.recipes.onnx_storage import Storage
from charaforge.mini.recipes.settings import TrainSettings
from charaforge.mini.recipes.steps import Plan, Trainer
from charaforge.mini.recipes.views import Views
from charaforge.perception.ccip import CLIP_MEAN, CLIP_STD
from charaforge.warehouse.atomic import write_json

NAME = "mini-identity"
SAMPLES = 120_000
FAMILIES = 4000
FAMILIES_PER_BATCH = 8
DIMENSIONS = 128
TEMPERATURE = 0.1
DECODED_FAMILIES, DECODED_PER_BATCH = 140, 2
"""Families with VAE reconstructions among their pictures, and how many of them are in each batch."""
_TRAIT_WEIGHT = 0.15
_LOOKALIKE_WEIGHT = 10.0
_TRAITS = {
    **{g: GROUPS[g] for g in ("hair", "style", "bangs", "eyes", "accessory")},
    "kind": ("none", *world.SIGNATURE_KINDS),
    "color": ("none", *world.SIGNATURE_COLORS),
}


class IdentityNet(nn.Module):
    """Pictures (B, 3, 128, 128) in [-1, 1] to embeddings (B, 128), and to trait logits beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(Trunk((48, 64, 96), (2, 2, 2)), conv_norm(96, 128), MeanAndMax())
        self.embedding = nn.Linear(256, DIMENSIONS)
        self.traits = nn.Linear(256, sum(len(names) for names in _TRAITS.values()))

    def forward(self, pictures: Tensor) -> Tensor:
        """Embeddings, not normalised."""
        embeddings: Tensor = self.embedding(self.features(pictures))
        return embeddings

    def both(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings (B, 128) and trait logits (B, all trait values)."""
        features = self.features(pictures)
        return self.embedding(features), self.traits(features)


class CCIPForm(nn.Module):
    """The net as CCIP encoders are called: RGB normalised with CLIP's mean and standard deviation."""

    scale: Tensor
    shift: Tensor

    def __init__(self, net: IdentityNet) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("scale", torch.tensor(CLIP_STD).view(1, 3, 1, 1) * 2)
        self.register_buffer("shift", torch.tensor(CLIP_MEAN).view(1, 3, 1, 1) * 2 - 1)

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, 3, 128, 128) to embeddings (N, 128)."""
        embeddings: Tensor = self.net(pictures * self.scale + self.shift)
        return embeddings


def contrastive_loss(embeddings: Tensor, labels: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """Supervised contrastive loss, outside form (Khosla et al. 2020, equation 2).

    Args:
        embeddings: (B, D), any length; cosines are taken.
        labels: int64 (B,); every label occurs at least twice.
        temperature: Cosines are divided by it.
    """
    unit = F.normalize(embeddings.float(), dim=1)
    itself = torch.eye(len(unit), dtype=torch.bool)
    logits = (unit @ unit.T / temperature).masked_fill(itself, -torch.inf)
    same = (labels[:, None] == labels) & ~itself
    log_share = logits - logits.logsumexp(1, keepdim=True)
    return -(log_share.masked_fill(~same, 0).sum(1) / same.sum(1)).mean()


def lookalike_loss(embeddings: Tensor, labels: Tensor, families: Tensor) -> Tensor:
    """Mean squared positive cosine between characters that share all words but not the signature.

    The contrastive loss is content once such pairs are clearly farther apart than pictures of one character;
    a threshold for all characters needs them as far apart as strangers.

    Args:
        embeddings: (B, D), any length.
        labels: int64 (B,), who is shown.
        families: int64 (B,), -1 for pictures that are in no such pair.
    """
    unit = F.normalize(embeddings.float(), dim=1)
    pairs = (families[:, None] == families) & (families >= 0) & (labels[:, None] != labels)
    return (unit @ unit.T).clamp_min(0).square()[pairs].mean()


def trait_labels(character: Character) -> list[int]:
    """Index of the character's value for each trait, in the order of the trait heads."""
    signature = character.signature
    kind, color = (signature.kind, signature.color) if signature else ("none", "none")
    told = {"kind": kind, "color": color}
    return [names.index(told.get(t) or getattr(character, t)) for t, names in _TRAITS.items()]


def trait_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Sum over traits of the cross entropy; logits (B, all values), labels int64 (B, traits)."""
    parts = torch.split(logits.float(), [len(names) for names in _TRAITS.values()], 1)
    return torch.stack([F.cross_entropy(part, labels[:, i]) for i, part in enumerate(parts)]).sum()


class _Families:
    def __init__(self, work: Path, count: int) -> None:
        bank = Bank(work / "bank", "families", count * FAMILY_SIZE)
        self.count = count
        decoded = decoded_pictures(work, bank.kind, bank, min(DECODED_FAMILIES, count) * FAMILY_SIZE)
        self._views = Views([bank], [decoded])
        indices = range(count * FAMILY_SIZE)
        self._same_words = torch.tensor([same_words_label(i) for i in indices])
        self._identities = torch.tensor([identity_label(i) for i in indices])
        self._traits = torch.tensor([trait_labels(family_member(FAMILY_CHARACTERS, i)) for i in indices])

    def loss(self, net: IdentityNet, rng: np.random.Generator, dtype: torch.dtype) -> Tensor:
        few = rng.choice(min(DECODED_FAMILIES, self.count), DECODED_PER_BATCH, replace=False)
        others = rng.choice(self.count, FAMILIES_PER_BATCH - DECODED_PER_BATCH, replace=False)
        families = np.unique(np.concatenate([few, others]))
        chosen = (families[:, None] * FAMILY_SIZE + np.arange(FAMILY_SIZE)).reshape(-1)
        embeddings, traits = net.both(self._views.tensor(rng, chosen, dtype))
        who = self._identities[chosen]
        loss = contrastive_loss(embeddings, who) + _TRAIT_WEIGHT * trait_loss(traits, self._traits[chosen])
        return loss + _LOOKALIKE_WEIGHT * lookalike_loss(embeddings, who, self._same_words[chosen])


def train(settings: TrainSettings) -> dict[str, float]:
    """Render the families, train, export to ``settings.out``/mini-identity and set the threshold; resumable.

    Returns:
        Final training loss and number of pictures.
    """
    samples, out = settings.samples or SAMPLES, settings.out / NAME
    torch.manual_seed(settings.seed)
    net = IdentityNet()
    batch = FAMILIES_PER_BATCH * FAMILY_SIZE
    families = _Families(settings.work, min(FAMILIES, max(FAMILIES_PER_BATCH, samples // FAMILY_SIZE)))
    plan = Plan(steps=-(-samples // batch), batch=batch)
    trainer = Trainer(net, plan, settings.work / f"{NAME}.safetensors", settings.seed)
    final = trainer.fit(lambda rng, dtype: families.loss(net, rng, dtype))
    export(trainer.finished(IdentityNet()), out)
    _calibrate(out, min(1.0, samples / SAMPLES))
    trained_on = {"pictures": samples, "seed": settings.seed, "recipe": "charaforge.mini.recipes.identity"}
    write_card(out, "identity", trained_on)
    return {"loss": final, "samples": float(samples)}


def _calibrate(out: Path, share: float) -> None:
    """Write ``metrics.json``: the threshold on characters that are neither trained on nor measured."""
    characters = range(CALIBRATION_CHARACTERS, CALIBRATION_CHARACTERS + max(2, round(30 * share)))
    impostors = range(characters.stop, characters.stop + max(50, round(1500 * share)))
    cosine = calibrated_threshold(out, characters, impostors)
    write_json(out / "metrics.json", {"threshold": (1 - cosine) / 2, "cosine": cosine, "false_accepts": 0.01})


def export(net: nn.Module, out: Path) -> None:
    """Write ``model_feat.onnx`` into ``out``."""
    assert isinstance(net, IdentityNet)
    example = torch.zeros(1, 3, 128, 128)
    write_onnx(CCIPForm(net), example, out / "model_feat.onnx", ["input"], ["output"], storage=Storage.BYTE)
