"""Charts as inline SVG; colours are CSS variables of the page, so that they follow light and dark.

Coordinates are in the SVG's own units, which a browser scales to the width of the column.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from charaforge.evaluation.results import ChoiceRecord
from charaforge.evaluation.statistics import Interval
from charaforge.evaluation.training_trace import Curve

_WIDTH = 720


@dataclass(frozen=True, slots=True)
class IntervalRow:
    """One line of an interval plot: what it is, its share, and the CSS class that colours it."""

    label: str
    share: Interval
    role: str


@dataclass(frozen=True, slots=True)
class Series:
    """One outline of a histogram: shares of pictures per bin, summing to 1."""

    label: str
    shares: tuple[float, ...]
    role: str


@dataclass(frozen=True, slots=True)
class _Scale:
    """Maps data linearly to coordinates."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        span = self.high - self.low or 1.0
        return round(self.start + (value - self.low) / span * (self.end - self.start), 1)


def interval_plot(rows: Sequence[IntervalRow], bar: float) -> Markup:
    """Shares from 0 to 100 % with their intervals, one row each, and the bar as a dashed line."""
    x, step, top = _Scale(0, 1, 210, _WIDTH - 24), 38, 30
    bottom = top + step * len(rows)
    parts = [_tick(x(v / 100), top - 6, bottom, f"{v} %") for v in (0, 25, 50, 75, 100)]
    parts.append(f'<line class="bar" x1="{x(bar)}" x2="{x(bar)}" y1="{top - 10}" y2="{bottom}"/>')
    for index, row in enumerate(rows):
        y = top + step * index + step // 2
        s = row.share
        parts.append(
            f'<text class="label" x="196" y="{y + 5}" text-anchor="end">{escape(row.label)}</text>'
            f'<g class="{row.role}">'
            f'<line class="whisker" x1="{x(s.low)}" x2="{x(s.high)}" y1="{y}" y2="{y}"/>'
            f'<circle class="dot" cx="{x(s.estimate)}" cy="{y}" r="6.5"/></g>'
        )
    return _svg(bottom + 28, parts, "Share of pictures accepted as the character, with 95 % intervals")


def histogram(series: Sequence[Series], edges: Sequence[float], threshold: float) -> Markup:
    """Outlines of likeness, each scaled to its own highest bin, with the threshold as a line."""
    used = [i for i in range(len(edges) - 1) if any(s.shares[i] > 0 for s in series)]
    low, high = edges[max(used[0] - 1, 0)], edges[min(used[-1] + 2, len(edges) - 1)]
    x, height = _Scale(low, high, 24, _WIDTH - 24), 210
    parts = [_tick(x(v / 5), 28, height, f"{v / 5:.1f}") for v in range(-5, 6) if low <= v / 5 <= high]
    for s in series:
        y = _Scale(0, max(s.shares) * 1.06, height, 34)
        path = f"M{x(low)},{height}"
        for i in range(len(edges) - 1):
            if low <= edges[i] and edges[i + 1] <= high:
                path += f"L{x(edges[i])},{y(s.shares[i])}L{x(edges[i + 1])},{y(s.shares[i])}"
        parts.append(f'<path class="area {s.role}" d="{path}L{x(high)},{height}Z"/>')
    line = x(threshold)
    parts.append(f'<line class="bar" x1="{line}" x2="{line}" y1="22" y2="{height}"/>')
    parts.append(
        f'<text class="tick" x="{line}" y="16" text-anchor="middle">accepted from {threshold:.3f}</text>'
    )
    return _svg(height + 28, parts, "Likeness of impostors and of generated pictures to the references")


def loss_plot(curves: Sequence[Curve], chosen_step: int | None) -> Markup:
    """Loss against optimizer steps; a dashed line marks the chosen step."""
    steps = [s for c in curves for s in c.steps]
    values = sorted(v for c in curves for v in c.values)
    top_value = values[-1]
    x, y = _Scale(min(steps), max(steps), 64, _WIDTH - 24), _Scale(values[0], top_value, 200, 24)
    parts = []
    for k in range(5):
        value = values[0] + (top_value - values[0]) * k / 4
        parts.append(f'<line class="grid" x1="64" x2="{_WIDTH - 24}" y1="{y(value)}" y2="{y(value)}"/>')
        parts.append(f'<text class="tick" x="56" y="{y(value) + 4}" text-anchor="end">{value:.3f}</text>')
    for k in range(5):
        step = round(min(steps) + (max(steps) - min(steps)) * k / 4)
        parts.append(f'<text class="tick" x="{x(step)}" y="222" text-anchor="middle">{step:,}</text>')
    for c in curves:
        points = " ".join(f"{x(s)},{y(v)}" for s, v in zip(c.steps, c.values, strict=True))
        parts.append(f'<polyline class="curve {c.role}" points="{points}"/>')
    if chosen_step is not None:
        at = x(chosen_step)
        side = "end" if at > _WIDTH - 90 else "middle"
        parts.append(f'<line class="bar" x1="{at}" x2="{at}" y1="20" y2="200"/>')
        parts.append(
            f'<text class="tick" x="{at}" y="14" text-anchor="{side}">chosen: step {chosen_step:,}</text>'
        )
    return _svg(236, parts, "Loss against optimizer steps")


def choice_plot(choice: ChoiceRecord) -> Markup:
    """Share accepted by checkpoint: rings for the screening, discs for finalists, a line at the chosen."""
    shown = choice.checkpoints
    x, y = _Scale(0, max(len(shown) - 1, 1), 70, _WIDTH - 40), _Scale(0, 1, 200, 24)
    parts = []
    for k in range(5):
        parts.append(f'<line class="grid" x1="50" x2="{_WIDTH - 24}" y1="{y(k / 4)}" y2="{y(k / 4)}"/>')
        parts.append(f'<text class="tick" x="44" y="{y(k / 4) + 4}" text-anchor="end">{25 * k} %</text>')
    for place, one in enumerate(shown):
        at, label = x(place), f"{one.step:,}" if one.step is not None else one.name
        parts.append(f'<text class="tick" x="{at}" y="222" text-anchor="middle">{escape(label)}</text>')
        if one.name == choice.name:
            parts.append(f'<line class="bar" x1="{at}" x2="{at}" y1="20" y2="200"/>')
        if one.screened is not None:
            parts.append(f'<circle class="ring" cx="{at}" cy="{y(one.screened)}" r="6"/>')
        if one.measured is not None:
            parts.append(
                f'<g class="lora"><circle class="dot" cx="{at}" cy="{y(one.measured)}" r="6.5"/></g>'
            )
    return _svg(236, parts, "Share accepted by checkpoint")


def _tick(x: float, top: float, bottom: float, text: str) -> str:
    return (
        f'<line class="grid" x1="{x}" x2="{x}" y1="{top}" y2="{bottom}"/>'
        f'<text class="tick" x="{x}" y="{bottom + 18}" text-anchor="middle">{text}</text>'
    )


def _svg(height: float, parts: Sequence[str], title: str) -> Markup:
    body = "".join(parts)
    return Markup(
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(title)}">{body}</svg>'
    )
