"""Puts an evaluation on a page that needs no network: pictures, charts and style are inside."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from charaforge.evaluation.report import charts
from charaforge.evaluation.report.pictures import Enlarge, Thumbnails
from charaforge.evaluation.results import HISTOGRAM_EDGES, ArmResult, Evaluation, PictureScore
from charaforge.evaluation.training_trace import TrainingTrace
from charaforge.evaluation.verdict import percent, verdict
from charaforge.warehouse.atomic import write_text

_HERO_SIDE, _CELL_SIDE = 320, 192
_SHOWN_SEEDS = 2
_EXTREMES = 8


@dataclass(frozen=True, slots=True)
class _Card:
    """One of the three groups on top of the page."""

    title: str
    role: str
    caption: str
    pictures: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Cell:
    """One judged picture."""

    uri: str
    accepted: bool
    likeness: float
    prompt_id: str


@dataclass(frozen=True, slots=True)
class _Row:
    """One prompt of the contact sheet: cells per arm."""

    prompt: str
    arms: tuple[tuple[_Cell, ...], ...]


def write_report(
    evaluation: Evaluation, folder: Path, trace: TrainingTrace | None = None, enlarge: Enlarge | None = None
) -> Path:
    """Write ``report.json`` and ``report.html``.

    Args:
        evaluation: What was found.
        folder: Where the reports go; the files of ``evaluation`` are relative to it.
        trace: Loss curves of the LoRA's training, where they are known.
        enlarge: The base model's upscaler, for pictures smaller than they are shown.

    Returns:
        Path of ``report.html``.
    """
    write_text(folder / "report.json", evaluation.model_dump_json(indent=2) + "\n")
    path = folder / "report.html"
    write_text(path, _page(evaluation, folder, trace, Thumbnails(enlarge)))
    return path


def _page(e: Evaluation, folder: Path, trace: TrainingTrace | None, thumbnails: Thumbnails) -> str:
    here = resources.files(__package__)
    series = _series(e)
    curves = trace.curves if trace else ()
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string((here / "report.html").read_text(encoding="utf-8")).render(
        e=e,
        v=verdict(e),
        css=Markup((here / "style.css").read_text(encoding="utf-8")),
        trio=_trio(e, folder, thumbnails),
        intervals=charts.interval_plot(_interval_rows(e), e.bar),
        series=series,
        distributions=charts.histogram(series, HISTOGRAM_EDGES, e.threshold.value),
        sheet=_sheet(e, folder, thumbnails),
        shown_seeds=min(_SHOWN_SEEDS, len(e.seeds)),
        extremes=_extremes(e.arm("lora"), folder, thumbnails),
        curves=curves,
        loss=charts.loss_plot(curves, trace.chosen_step if trace else None) if curves else "",
        percent=percent,
        clock=_clock,
    )


def _trio(e: Evaluation, folder: Path, thumbnails: Thumbnails) -> list[_Card]:
    """Real pictures, the words alone, the LoRA: four each, the latter two of the same prompts and seeds."""
    per_prompt = len(e.seeds)
    spread = [round(i * (len(e.prompts) - 1) / 3) * per_prompt for i in range(4)]

    def of(name: str) -> tuple[str, ...]:
        pictures = e.arm(name).pictures
        return tuple(thumbnails.uri(folder / pictures[i].file, _HERO_SIDE) for i in dict.fromkeys(spread))

    real = tuple(thumbnails.uri(folder / name, _HERO_SIDE) for name in e.references[:4])
    return [
        _Card("Real pictures", "real", f"of {e.character}, held out of training", real),
        _Card("Traits in words", "traits", ", ".join(e.traits) or "no words known", of("traits")),
        _Card("With the LoRA", "lora", "same prompts, same seeds", of("lora")),
    ]


def _interval_rows(e: Evaluation) -> list[charts.IntervalRow]:
    rows = [charts.IntervalRow(arm.label, arm.accepted, arm.name) for arm in e.arms]
    return [*rows, charts.IntervalRow("Real pictures", e.ceiling.accepted, "real")]


def _series(e: Evaluation) -> list[charts.Series]:
    total = sum(e.impostor_histogram)
    impostors = tuple(count / total for count in e.impostor_histogram)
    arms = [
        charts.Series(arm.label, _binned(p.likeness for p in arm.pictures), arm.name)
        for arm in e.arms
        if arm.name in ("traits", "lora")
    ]
    real = charts.Series("Real pictures", _binned(e.ceiling.likenesses), "real")
    return [charts.Series("Impostors", impostors, "impostors"), *arms, real]


def _binned(likenesses: Iterable[float]) -> tuple[float, ...]:
    counts = np.histogram(list(likenesses), HISTOGRAM_EDGES)[0]
    return tuple((counts / max(counts.sum(), 1)).tolist())


def _sheet(e: Evaluation, folder: Path, thumbnails: Thumbnails) -> list[_Row]:
    seeds = len(e.seeds)
    shown = range(min(_SHOWN_SEEDS, seeds))

    def cells(arm: ArmResult, row: int) -> tuple[_Cell, ...]:
        return tuple(_cell(arm.pictures[row * seeds + k], folder, thumbnails) for k in shown)

    return [
        _Row(prompt.prompt, tuple(cells(arm, row) for arm in e.arms)) for row, prompt in enumerate(e.prompts)
    ]


def _extremes(arm: ArmResult, folder: Path, thumbnails: Thumbnails) -> list[tuple[str, Sequence[_Cell]]]:
    ranked = sorted(arm.pictures, key=lambda p: p.likeness)
    best, worst = ranked[::-1][:_EXTREMES], ranked[:_EXTREMES]
    return [
        ("Most alike", [_cell(p, folder, thumbnails) for p in best]),
        ("Least alike", [_cell(p, folder, thumbnails) for p in worst]),
    ]


def _cell(picture: PictureScore, folder: Path, thumbnails: Thumbnails) -> _Cell:
    uri = thumbnails.uri(folder / picture.file, _CELL_SIDE)
    return _Cell(uri, picture.accepted, picture.likeness, picture.prompt_id)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"
