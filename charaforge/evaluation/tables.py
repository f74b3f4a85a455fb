"""The numbers as rows of text, for ``report.md``, model cards and the command line."""

from charaforge.evaluation.results import ArmResult, Evaluation, Measure, MetricRecord
from charaforge.evaluation.statistics import Interval


def arm_rows(e: Evaluation) -> list[tuple[str, ...]]:
    """Header and one row per arm: pictures, CCR, interval, effective n, design effect, signature."""
    rows: list[tuple[str, ...]] = [
        ("asked with", "n", "CCR", "95 % interval", "effective n", "design effect", "signature seen")
    ]
    for arm in e.arms:
        a = arm.accepted
        seen = f"{arm.signature.estimate:.3f}" if arm.signature else "–"
        told = (f"{a.estimate:.3f}", between(a), f"{a.effective:.0f}", f"{a.design_effect:.2f}")
        rows.append((arm.label, str(a.pictures), *told, seen))
    c = e.ceiling
    seen = f"{c.signature.estimate:.3f}" if c.signature else "–"
    count = str(len(c.likenesses))
    rows.append(
        ("real pictures", count, f"{c.accepted.estimate:.3f}", between(c.accepted), count, "1.00", seen)
    )
    return rows


def measure_rows(e: Evaluation, names: tuple[str, ...] | None = None) -> list[tuple[str, ...]]:
    """Header and one row per metric: label, unit, direction, and its value in every arm."""
    known = {record.name: record for record in e.metrics}
    there = {one.name for arm in e.arms for one in arm.measures if one.estimate is not None}
    rows: list[tuple[str, ...]] = [("metric", "unit", "better", *(arm.label for arm in e.arms))]
    for name, record in known.items():
        if name in there and (names is None or name in names):
            rows.append((record.label, record.unit, record.better, *(_cell(arm, record) for arm in e.arms)))
    return rows


def not_measured(e: Evaluation) -> list[tuple[str, str]]:
    """Label and reason of the metrics that could not be measured for the LoRA."""
    labels = {record.name: record.label for record in e.metrics}
    return [(labels[m.name], m.reason) for m in e.arm("lora").measures if m.estimate is None]


def markdown(rows: list[tuple[str, ...]]) -> str:
    """Rows as a Markdown table, the first as its header."""
    head, *body = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in body)])


def between(interval: Interval) -> str:
    """0.812–0.930."""
    return _span(interval.low, interval.high)


def told(measure: Measure) -> str:
    """Value, interval and floor of a measure; "–" where it was not measured."""
    if measure.estimate is None or measure.low is None or measure.high is None:
        return "–"
    floor = f", detector alone {measure.floor:.3f}" if measure.floor is not None else ""
    return f"{measure.estimate:.3f} ({_span(measure.low, measure.high)}{floor})"


def _span(low: float, high: float) -> str:
    return f"{low:.3f} to {high:.3f}" if low < 0.0 else f"{low:.3f}–{high:.3f}"


def _cell(arm: ArmResult, record: MetricRecord) -> str:
    found = next((one for one in arm.measures if one.name == record.name), None)
    return told(found) if found else "–"
