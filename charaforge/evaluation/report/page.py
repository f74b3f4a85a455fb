"""Puts an evaluation on a page that needs no network: pictures, charts and style are inside."""

from collections.abc import Iterable
from importlib import resources
from pathlib import Path

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from charaforge.evaluation.apart import was_checked
from charaforge.evaluation.gates import told_passed
from charaforge.evaluation.report import cells, charts
from charaforge.evaluation.report.pictures import Enlarge, Thumbnails
from charaforge.evaluation.report.text import refusal_text, report_text
from charaforge.evaluation.results import HISTOGRAM_EDGES, ArmResult, Evaluation, Refusal
from charaforge.evaluation.tables import between, measure_rows, not_measured
from charaforge.evaluation.training_trace import TrainingTrace
from charaforge.evaluation.verdict import counted, percent, verdict
from charaforge.warehouse.atomic import write_text

_SHEET, _SHEET_END = "<!-- character sheet -->", "<!-- end of the sheet -->"
_SHEET_SIDE = 1786
_SHOWN_OUTLINES = ("traits", "lora", "posed")


def write_report(
    evaluation: Evaluation, folder: Path, trace: TrainingTrace | None = None, enlarge: Enlarge | None = None
) -> Path:
    """Write ``report.json``, ``report.md`` and ``report.html``.

    Args:
        evaluation: What was found.
        folder: Where the reports go; the files of ``evaluation`` are relative to it.
        trace: Loss curves of the LoRA's training, where they are known.
        enlarge: The base model's upscaler, for pictures smaller than they are shown.

    Returns:
        Path of ``report.html``.
    """
    write_text(folder / "report.json", evaluation.model_dump_json(indent=2) + "\n")
    write_text(folder / "report.md", report_text(evaluation))
    path = folder / "report.html"
    write_text(path, _page(evaluation, folder, trace, Thumbnails(enlarge)))
    return path


def write_refusal(refusal: Refusal, folder: Path) -> Path:
    """Write the three reports of what could not be measured; return the path of ``report.html``."""
    write_text(folder / "report.json", refusal.model_dump_json(indent=2) + "\n")
    write_text(folder / "report.md", refusal_text(refusal))
    path = folder / "report.html"
    write_text(path, _render("refusal.html", {"r": refusal}))
    return path


def show_sheet(report: Path, sheet: Path) -> None:
    """Put a character sheet into a ``report.html``, in place of the one that it had.

    Args:
        report: The page; one without a place for it stays as it is.
        sheet: A picture.
    """
    page = report.read_text(encoding="utf-8")
    before, found, rest = page.partition(_SHEET)
    if not found:
        return
    uri = Thumbnails(None).uri(sheet, _SHEET_SIDE)
    shown = f'{_SHEET}<h2>Character sheet</h2>\n<img src="{uri}" alt="Character sheet">{_SHEET_END}'
    write_text(report, before + shown + rest.partition(_SHEET_END)[2])


def _page(e: Evaluation, folder: Path, trace: TrainingTrace | None, thumbnails: Thumbnails) -> str:
    series = _series(e)
    curves = trace.curves if trace else ()
    chosen = e.choice.step if e.choice else trace.chosen_step if trace else None
    values = {
        "e": e,
        "v": verdict(e),
        "trio": cells.trio(e, folder, thumbnails),
        "intervals": charts.interval_plot(_interval_rows(e), e.bar),
        "series": series,
        "distributions": charts.histogram(series, HISTOGRAM_EDGES, e.threshold.value),
        "measures": measure_rows(e),
        "meanings": {record.label: record.meaning for record in e.metrics},
        "left_out": not_measured(e),
        "sheet": cells.sheet(e, folder, thumbnails),
        "shown_seeds": min(cells.SHOWN_SEEDS, len(e.seeds)),
        "extremes": cells.extremes(e.arm("lora"), folder, thumbnails),
        "choice": cells.choice_sheet(e.choice, folder, thumbnails) if e.choice else [],
        "choice_plot": charts.choice_plot(e.choice) if e.choice else "",
        "curves": curves,
        "loss": charts.loss_plot(curves, chosen) if curves else "",
        "between": between,
        "references": "held-out references" if was_checked(e) else "references",
        "told_passed": told_passed,
    }
    return _render("report.html", values)


def _render(template: str, values: dict[str, object]) -> str:
    here = resources.files(__package__)
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    css = Markup((here / "style.css").read_text(encoding="utf-8"))
    words = {"percent": percent, "counted": counted, "clock": _clock}
    text = (here / template).read_text(encoding="utf-8")
    return environment.from_string(text).render(css=css, **words, **values)


def _interval_rows(e: Evaluation) -> list[charts.IntervalRow]:
    rows = [charts.IntervalRow(arm.label, arm.accepted, arm.name) for arm in e.arms]
    return [*rows, charts.IntervalRow("Real pictures", e.ceiling.accepted, "real")]


def _series(e: Evaluation) -> list[charts.Series]:
    total = sum(e.impostor_histogram)
    impostors = tuple(count / total for count in e.impostor_histogram)
    arms = [_outline(arm) for arm in e.arms if arm.name in _SHOWN_OUTLINES]
    real = charts.Series("Real pictures", _binned(e.ceiling.likenesses), "real")
    return [charts.Series("Impostors", impostors, "impostors"), *arms, real]


def _outline(arm: ArmResult) -> charts.Series:
    return charts.Series(arm.label, _binned(p.likeness for p in arm.pictures), arm.name)


def _binned(likenesses: Iterable[float]) -> tuple[float, ...]:
    counts = np.histogram(list(likenesses), HISTOGRAM_EDGES)[0]
    return tuple((counts / max(counts.sum(), 1)).tolist())


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"
