"""From an evaluation to what users keep: the reports, the LoRA's model card, its header."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from charaforge.evaluation.card import with_measures
from charaforge.evaluation.rendering import lora_hash
from charaforge.evaluation.report import write_refusal, write_report
from charaforge.evaluation.report.pictures import Enlarge
from charaforge.evaluation.results import Evaluation, Refusal
from charaforge.evaluation.training_trace import read_trace
from charaforge.logs import get_logger
from charaforge.perception.upscale import Upscaler
from charaforge.warehouse.atomic import write_bytes, write_text
from charaforge.warehouse.cards import safetensors_metadata
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.recommended import HINT_KEY, NUMBERS_KEY, usage_hint
from charaforge.warehouse.registry import Registry

logger = get_logger(__name__)

CHOSEN = "chosen.json"
"""File in a LoRA's folder: which of its checkpoints it is, at which weight, with which numbers."""


def publish(evaluation: Evaluation, folder: Path, warehouse: Warehouse) -> Path:
    """Write ``report.json``, ``report.md`` and ``report.html`` into ``folder``; return the path of the last.

    The numbers also go into ``MODEL_CARD.md`` and the header of a LoRA that was trained here.
    """
    lora_folder = warehouse.lora_folder(evaluation.lora.partition("@")[0])
    trace = read_trace(lora_folder / "events.jsonl")
    report = write_report(evaluation, folder, trace, _upscaler(evaluation.model, Registry(warehouse)))
    if "@" not in evaluation.lora and (lora_folder / "resolved_config.yaml").is_file():
        note_in_lora(evaluation, lora_folder)
    return report


def publish_refusal(refusal: Refusal, folder: Path) -> Path:
    """Write the three reports of what could not be measured; return the path of ``report.html``."""
    return write_refusal(refusal, folder)


def note_in_lora(evaluation: Evaluation, folder: Path) -> None:
    """Write the numbers into a LoRA's model card and into the header of its file.

    The file is replaced as a whole; its tensors stay byte for byte. Numbers of the same LoRA that come from
    more pictures stay: a quick look does not replace a certificate. Nor does a look at a chosen LoRA that
    chose nothing, or at another weight: its weight and numbers are those of the choice. Nor does a look at
    another weight than 1, at which LoRAs are used where nobody has chosen.

    Args:
        evaluation: What was measured.
        folder: Of the LoRA.
    """
    file = folder / f"{folder.name}.safetensors"
    noted = _noted(file)
    if noted.get("lora_sha256") != evaluation.lora_sha256:
        noted = {}  # they are of another LoRA
    unchosen = evaluation.choice is None
    if not _is_of_the_choice(evaluation, folder / CHOSEN) or (unchosen and "chosen_step" in noted):
        logger.info("%s keeps the weight and the numbers of its choice: these are not noted", folder.name)
        return
    if noted.get("pictures", 0) > evaluation.arm("lora").accepted.pictures:
        logger.info("%s keeps the numbers it has, of %d pictures", folder.name, noted["pictures"])
        return
    if unchosen and noted.get("weight") == 1 and evaluation.lora_weight != 1:
        logger.info("%s keeps the numbers it has, at weight 1; no other was chosen", folder.name)
        return
    card = folder / "MODEL_CARD.md"
    if card.is_file():
        write_text(card, with_measures(card.read_text(encoding="utf-8"), evaluation))
    if file.is_file():
        data = file.read_bytes()
        renewed = with_numbers(data, evaluation)
        if renewed != data:
            write_bytes(file, renewed)


def numbers(evaluation: Evaluation) -> dict[str, object]:
    """The few numbers that travel with a LoRA."""
    lora = evaluation.arm("lora").accepted
    measures = evaluation.arm("lora").measures
    chosen = {"chosen_step": evaluation.choice.step} if evaluation.choice else {}
    return {
        "lora_sha256": evaluation.lora_sha256,
        "ccr": round(lora.estimate, 4),
        "ccr_low": round(lora.low, 4),
        "ccr_high": round(lora.high, 4),
        "prompts": lora.prompts,
        "pictures": lora.pictures,
        "bar": evaluation.bar,
        "passed": evaluation.passed,
        "threshold": round(evaluation.threshold.value, 4),
        "identity_model": evaluation.identity_model,
        "model": evaluation.model,
        "weight": evaluation.lora_weight,
        "ccr_base_traits": round(evaluation.arm("traits").accepted.estimate, 4),
        **chosen,
        "measures": {one.name: round(one.estimate, 4) for one in measures if one.estimate is not None},
    }


def _noted(file: Path) -> dict[str, Any]:
    """The numbers that stand in a LoRA's header."""
    if not file.is_file():
        return {}
    return dict(json.loads(safetensors_metadata(file).get(NUMBERS_KEY, "{}")))


def is_noted(sha256: object, file: Path) -> bool:
    """Whether a LoRA's file has the tensors of this ``lora_hash``, and numbers of the same in its header."""
    try:
        return file.is_file() and lora_hash(file) == sha256 == _noted(file).get("lora_sha256")
    except (OSError, ValueError):
        return False


def _is_of_the_choice(evaluation: Evaluation, chosen: Path) -> bool:
    """False where these weights were chosen, and this is no choice or at another weight than the chosen."""
    try:
        told = dict(json.loads(chosen.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError):
        return True
    if told.get("sha256") != evaluation.lora_sha256:
        return True
    return evaluation.choice is not None and evaluation.lora_weight == told.get("weight")


def with_numbers(data: bytes, evaluation: Evaluation) -> bytes:
    """Return a LoRA's file with the numbers in its header, and in its hint the weight that was chosen."""
    weight = evaluation.choice.weight if evaluation.choice else None
    told = {NUMBERS_KEY: json.dumps(numbers(evaluation), sort_keys=True)}
    return with_header(data, {**told, HINT_KEY: usage_hint(evaluation.character, weight)})


def with_header(data: bytes, told: dict[str, str]) -> bytes:
    """Return a safetensors file with more metadata in its header; the tensors are not touched."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    metadata = dict(sorted({**header.pop("__metadata__", {}), **told}.items()))
    text = json.dumps(
        {"__metadata__": metadata, **header}, separators=(",", ":"), ensure_ascii=False
    ).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def _upscaler(model: str, registry: Registry) -> Enlarge | None:
    """The upscaler that the base model's card names, for pictures smaller than shown; None: Lanczos."""
    name = registry.get(model, "base").card.get("upscaler")
    entry = next((one for one in registry.list("upscaler") if one.name == name), None)
    if entry is None:
        return None
    upscaler = Upscaler(entry.path)

    def enlarge(pictures: Sequence[Image.Image]) -> list[Image.Image]:
        return upscaler.upscale(pictures)

    return enlarge
