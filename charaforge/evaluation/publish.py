"""From an evaluation to its report, with the loss curve of the LoRA and the base model's upscaler."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from charaforge.evaluation.report import write_report
from charaforge.evaluation.report.pictures import Enlarge
from charaforge.evaluation.results import Evaluation
from charaforge.evaluation.training_trace import read_trace
from charaforge.perception.upscale import Upscaler
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.registry import Registry


def publish(evaluation: Evaluation, folder: Path, warehouse: Warehouse) -> Path:
    """Write ``report.json`` and ``report.html`` into ``folder``; return the path of the latter."""
    trace = read_trace(warehouse.lora_folder(evaluation.lora) / "events.jsonl")
    return write_report(evaluation, folder, trace, _upscaler(evaluation.model, Registry(warehouse)))


def _upscaler(model: str, registry: Registry) -> Enlarge | None:
    """The upscaler that the base model's card names, for pictures smaller than they are shown."""
    name = registry.get(model, "base").card.get("upscaler")
    if not name:
        return None
    upscaler = Upscaler(registry.get(str(name), "upscaler").path)

    def enlarge(pictures: Sequence[Image.Image]) -> list[Image.Image]:
        return upscaler.upscale(pictures)

    return enlarge
