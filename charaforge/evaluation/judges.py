"""Who judges: the identity model with its impostors, the signature judge, and the traits' tagger."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from charaforge.errors import NotMeasurableError
from charaforge.evaluation.identity import Embeddings
from charaforge.perception.ccip import IdentityEncoder
from charaforge.perception.judge import SignatureJudge
from charaforge.perception.wd14 import WD14Tagger
from charaforge.warehouse.registry import ModelEntry, Registry

IMPOSTOR_PACKS = {"real": "impostors.npz", "generated": "impostors_generated.npz"}
"""Embeddings of impostors beside an identity model's weights: array ``embeddings`` (n, D), L2-normalised."""

_TRAIT_FREQUENCY = 0.8
_TAG_PROBABILITY = 0.5
_GENERAL = 0


@dataclass(frozen=True, slots=True)
class Judges:
    """Models that look at the pictures of one evaluation.

    Attributes:
        identity_name: Registry name of the identity model.
        encoder: The identity model.
        impostors: Embeddings (n, D) by kind of impostor, "real" at least.
        signature_name: Registry name of the signature judge; "" where there is none for this family.
        signature: The signature judge, or None.
    """

    identity_name: str
    encoder: IdentityEncoder
    impostors: dict[str, Embeddings]
    signature_name: str
    signature: SignatureJudge | None


def open_judges(registry: Registry, base: ModelEntry) -> Judges:
    """Open the judges that fit a base model: the embedded ones for the embedded base, else the warehouse's.

    Raises:
        NotMeasurableError: there is no identity model for this base, or no impostors beside it.
    """
    identity = find_judge(registry, base, "identity")
    if identity is None:
        raise NotMeasurableError(
            f"there is no identity model for pictures of {base.name}",
            "put a CCIP model (model_feat.onnx, impostors.npz) into models/identity/<name>",
        )
    packs = {kind: identity.path / file for kind, file in IMPOSTOR_PACKS.items()}
    impostors = {kind: _load_pack(path) for kind, path in packs.items() if path.is_file()}
    if "real" not in impostors:
        raise NotMeasurableError(
            f"{identity.name} has no impostors, so no threshold can be set",
            f"put embeddings of at least 100, better 3,000, other characters into {packs['real']}",
        )
    judge = find_judge(registry, base, "judge")
    return Judges(
        identity.name,
        IdentityEncoder(identity.path),
        impostors,
        judge.name if judge else "",
        SignatureJudge(judge.path) if judge else None,
    )


def find_judge(registry: Registry, base: ModelEntry, kind: str) -> ModelEntry | None:
    """The first model of a kind; the embedded ones judge the embedded base, and nothing else."""
    return next((entry for entry in registry.list(kind) if entry.embedded == base.embedded), None)


def read_pictures(paths: Sequence[Path]) -> list[Image.Image]:
    """Decode pictures as RGB."""
    pictures = []
    for path in paths:
        with Image.open(path) as opened:
            pictures.append(opened.convert("RGB"))
    return pictures


def signatures(judges: Judges, pictures: Sequence[Image.Image]) -> list[str]:
    """The signature trait that the second judge sees in each picture, e.g. "aqua wings"; "" for none."""
    if judges.signature is None:
        return [""] * len(pictures)
    seen = judges.signature.judge(pictures).decided()
    return ["" if kind == "none" else f"{color} {kind}" for kind, color in seen]


def usual_signature(seen: Sequence[str]) -> str:
    """What most of the pictures of a character show; "" where no trait has the majority."""
    trait, count = Counter(seen).most_common(1)[0]
    return trait if 2 * count > len(seen) else ""


def usual_tags(tagger: WD14Tagger, paths: Sequence[Path]) -> tuple[str, ...]:
    """General tags that a tagger sees in at least 80 % of the pictures: what is fixed about a character."""
    scores = tagger.tag(read_pictures(paths))
    frequency = (scores.probabilities > _TAG_PROBABILITY).mean(axis=0)
    order = np.argsort(-frequency, kind="stable")
    return tuple(
        scores.names[i]
        for i in order
        if frequency[i] >= _TRAIT_FREQUENCY and scores.categories[i] == _GENERAL
    )


def _load_pack(path: Path) -> npt.NDArray[np.float32]:
    with np.load(path) as pack:
        return np.asarray(pack["embeddings"], dtype=np.float32)
