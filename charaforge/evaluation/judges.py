"""Who judges: the identity model with its impostors, and nets of other kinds that see other things."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from charaforge.errors import CharaForgeError, NotMeasurableError
from charaforge.evaluation.impostors import Impostors, from_place, joined, read_pack
from charaforge.evaluation.pictures import read_pictures
from charaforge.evaluation.subject import Subject, training_record
from charaforge.logs import get_logger
from charaforge.perception.ccip import IdentityEncoder
from charaforge.perception.detector import PersonDetector
from charaforge.perception.judge import SignatureJudge
from charaforge.perception.opening import open_tagger
from charaforge.perception.simcc import PoseEstimator
from charaforge.perception.tag_net import GENERAL, TagNet
from charaforge.perception.vision import VisionEncoder
from charaforge.perception.wd14 import TABLE
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.registry import ModelEntry, Registry
from charaforge.warehouse.tables import table_rows

PACKS = {"impostors.npz": "real", "gallery.npz": "real", "impostors_generated.npz": "generated"}
"""Embeddings of impostors beside an identity model's weights, and of which kind they are."""

FEWEST_IMPOSTORS = 100
"""Real impostors that one false accept in a hundred needs at least."""

logger = get_logger(__name__)

_TRAIT_FREQUENCY = 0.8
_TAG_PROBABILITY = 0.5


@dataclass(frozen=True, slots=True)
class Judges:
    """Models that look at the pictures of one evaluation; what is None or empty is not measured.

    Attributes:
        identity_name: Registry name of the identity model.
        encoder: The identity model.
        impostors: One group per kind, "real" among them.
        signature_name: Registry name of the signature judge.
        signature: The signature judge.
        tagger_name: Registry name of the tagger.
        tagger: The tagger.
        pose_name: Registry name of the pose estimator.
        pose: The pose estimator.
        detector_name: Registry name of the person detector.
        detector: The person detector.
        visions: Image encoders by kind: clip, dinov2, siglip.
        vision_names: Their registry names by kind.
        impostor_sources: Pack, table or folder of impostors -> how many, and a sha256.
    """

    identity_name: str
    encoder: IdentityEncoder
    impostors: tuple[Impostors, ...]
    signature_name: str = ""
    signature: SignatureJudge | None = None
    tagger_name: str = ""
    tagger: TagNet | None = None
    pose_name: str = ""
    pose: PoseEstimator | None = None
    detector_name: str = ""
    detector: PersonDetector | None = None
    visions: dict[str, VisionEncoder] = field(default_factory=dict)
    vision_names: dict[str, str] = field(default_factory=dict)
    impostor_sources: dict[str, str] = field(default_factory=dict)

    @property
    def names(self) -> dict[str, str]:
        """What each judge is for -> its registry name."""
        told = {
            "identity": self.identity_name,
            "signature": self.signature_name,
            "tags": self.tagger_name,
            "pose": self.pose_name,
            "people": self.detector_name,
            **self.vision_names,
        }
        return {use: name for use, name in told.items() if name}


def open_judges(
    registry: Registry,
    base: ModelEntry,
    subject: Subject,
    impostors: Path | None,
    captions: Sequence[Path] = (),
) -> Judges:
    """Open the judges that fit a base model: the embedded ones for the embedded base, else the warehouse's.

    Args:
        registry: Finds the models.
        base: The base model.
        subject: Who is judged; its pictures are no impostors.
        impostors: Folder or table of other characters; None: the packs beside the identity model, and every
            other character in the warehouse's metadata tables.
        captions: Metadata tables that tell who wrote the character's captions; see ``caption_tables``.

    Raises:
        NotMeasurableError: there is no identity model for this base, or too few impostors.
    """
    identity = find_judge(registry, base, "identity")
    if identity is None:
        raise NotMeasurableError(
            f"there is no identity model for pictures of {base.name}",
            "put a CCIP model (model_feat.onnx, impostors.npz) into models/identity/<name>",
        )
    encoder = IdentityEncoder(identity.path)
    signature, pose, detector = (find_judge(registry, base, kind) for kind in ("judge", "pose", "detector"))
    tagger = find_tag_judge(registry, base, subject.name, captions)
    visions = _visions(registry, base)
    sources = _impostors(identity, encoder, registry.warehouse, subject, impostors)
    return Judges(
        identity.name,
        encoder,
        _by_kind(list(sources.values())),
        signature.name if signature else "",
        SignatureJudge(signature.path) if signature else None,
        tagger.name if tagger else "",
        open_tagger(registry, tagger.name).net if tagger else None,
        pose.name if pose else "",
        PoseEstimator(pose.path) if pose else None,
        detector.name if detector else "",
        PersonDetector(detector.path) if detector else None,
        {kind: encoder for kind, (_, encoder) in visions.items()},
        {kind: name for kind, (name, _) in visions.items()},
        {name: _told(group) for name, group in sources.items() if len(group)},
    )


def find_judge(registry: Registry, base: ModelEntry, kind: str) -> ModelEntry | None:
    """The first model of a kind; the embedded ones judge the embedded base, and nothing else."""
    return next((entry for entry in registry.list(kind) if entry.embedded == base.embedded), None)


def find_tag_judge(
    registry: Registry, base: ModelEntry, character: str, captions: Sequence[Path]
) -> ModelEntry | None:
    """The tagger that has least in common with those that captioned a character's pictures.

    One of another format is best (DeepDanbooru for captions of a WD14), then one of another architecture,
    then one of another name; of equals the first. The character's metadata tables tell who captioned.
    """
    able = [entry for entry in registry.list("tagger") if entry.embedded == base.embedded]
    wrote = captioned_by(captions, character) if len(able) > 1 else frozenset()
    theirs = [entry for entry in able if entry.name in wrote]
    formats, built = {_is_wd14(entry) for entry in theirs}, {_architecture(entry) for entry in theirs}
    return min(
        able,
        key=lambda one: (one.name in wrote, _is_wd14(one) in formats, _architecture(one) in built),
        default=None,
    )


def caption_tables(table: Path, lora: str, warehouse: Warehouse) -> list[Path]:
    """The table that a LoRA is judged by and, where it is another, the one that it was trained on."""
    record = training_record(warehouse.lora_folder(lora.partition("@")[0]))
    return list(dict.fromkeys([table, *([record.table] if record and record.table else [])]))


def captioned_by(tables: Iterable[Path], character: str) -> frozenset[str]:
    """Names of the taggers that curation noted beside a character's tags; a broken table tells none."""
    noted: set[str] = set()
    for table in tables:
        try:
            rows = table_rows(table)
            noted.update(*(json.loads(row["tag_scores"]) for row in rows if _is_tagged(row, character)))
        except (CharaForgeError, ValueError, TypeError) as error:
            logger.debug("%s does not tell who captioned: %s", table, error)
    return frozenset(noted)


def _is_tagged(row: dict[str, str], character: str) -> bool:
    return row.get("character") == character and bool(row.get("tag_scores"))


def _is_wd14(tagger: ModelEntry) -> bool:
    return (tagger.path / TABLE).is_file()


def _architecture(tagger: ModelEntry) -> str:
    """What a tagger's card says of its net, else the ``config.json`` beside its weights; "" where neither."""
    config = tagger.path / "config.json"
    try:
        told = json.loads(config.read_text(encoding="utf-8")) if config.is_file() else {}
        return str({**told, **tagger.card}.get("architecture", ""))
    except (ValueError, TypeError):
        return str(tagger.card.get("architecture", ""))


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


def usual_tags(tagger: TagNet, paths: Sequence[Path]) -> tuple[str, ...]:
    """General tags that a tagger sees in at least 80 % of the pictures: what is fixed about a character."""
    scores = tagger.tag(read_pictures(paths))
    frequency = (scores.probabilities > _TAG_PROBABILITY).mean(axis=0)
    order = np.argsort(-frequency, kind="stable")
    return tuple(
        scores.names[i] for i in order if frequency[i] >= _TRAIT_FREQUENCY and scores.categories[i] == GENERAL
    )


def _impostors(
    identity: ModelEntry,
    encoder: IdentityEncoder,
    warehouse: Warehouse,
    subject: Subject,
    asked: Path | None,
) -> dict[str, Impostors]:
    """Impostors by the name of the pack, table or folder that they come from."""
    wanted = {file: kind for file, kind in PACKS.items() if asked is None or kind == "generated"}
    packs = [file for file in wanted if (identity.path / file).is_file()]
    found = {file: read_pack(identity.path / file, wanted[file], subject.name) for file in packs}
    for place in [asked] if asked is not None else _tables(warehouse):
        try:
            found[place.name] = from_place(place, encoder, warehouse, subject.name, subject.pictures)
        except CharaForgeError as error:
            if asked is not None:
                raise
            logger.warning("no impostors from %s: %s", place.name, error.message)
    count = sum(len(group) for group in found.values() if group.kind == "real")
    if count < FEWEST_IMPOSTORS:
        where = asked or identity.path / "impostors.npz"
        raise NotMeasurableError(
            f"{count} impostor pictures: one false accept in a hundred cannot be shown with them",
            f"{FEWEST_IMPOSTORS} are needed, 3,000 make it precise: {FEWEST_IMPOSTORS - count} are missing; "
            f"give a folder or table of other characters with --impostors, or embeddings in {where}",
        )
    return found


def _tables(warehouse: Warehouse) -> list[Path]:
    """The warehouse's metadata tables; of a table in both formats the Parquet file."""
    places = sorted(p for p in warehouse.metadata.glob("*") if p.suffix in (".csv", ".parquet"))
    return [p for p in places if p.suffix == ".parquet" or p.with_suffix(".parquet") not in places]


def _by_kind(groups: Sequence[Impostors]) -> tuple[Impostors, ...]:
    there = {group.kind for group in groups if len(group)}
    kinds = [kind for kind in ("real", "generated") if kind in there]
    return tuple(joined([group for group in groups if group.kind == kind]) for kind in kinds)


def _told(group: Impostors) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(group.embeddings).tobytes()).hexdigest()[:16]
    return f"{len(group):,} {group.kind}, sha256 of embeddings {digest}"


def _visions(registry: Registry, base: ModelEntry) -> dict[str, tuple[str, VisionEncoder]]:
    """Image encoders by kind; for the embedded base also the one that its IP-Adapter looks with."""
    places = [(entry.name, entry.path) for entry in registry.list("vision")]
    if base.embedded:
        adapters = [entry for entry in registry.list("ipadapter") if entry.card.get("base") == base.name]
        places += [(entry.name, entry.path / "image_encoder") for entry in adapters if entry.embedded]
    opened: dict[str, tuple[str, VisionEncoder]] = {}
    for name, path in places:
        encoder = VisionEncoder(path)
        opened.setdefault(encoder.kind, (name, encoder))
    return opened
