"""What a LoRA's folder says about its training: loss curves and the chosen step, from ``events.jsonl``."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

_POINTS = 120


@dataclass(frozen=True, slots=True)
class Curve:
    """A loss against optimizer steps.

    Attributes:
        role: "training" (means over equal stretches of steps) or "held-out".
        steps: Optimizer steps, rising.
        values: Loss at these steps.
    """

    role: str
    steps: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class TrainingTrace:
    """How a LoRA was trained.

    Attributes:
        curves: Loss on training pictures and, where measured, on held-out ones.
        chosen_step: Step whose weights became the LoRA; None for a run that has not ended.
    """

    curves: tuple[Curve, ...]
    chosen_step: int | None


def read_trace(events: Path) -> TrainingTrace | None:
    """Read the events of a training run; None where there are none (a LoRA from elsewhere)."""
    if not events.is_file():
        return None
    told = list(_lines(events))
    training = [(e["step"], e["loss"]) for e in told if e["event"] == "step"]
    held_out = [(e["step"], e["loss"]) for e in told if e["event"] == "validation"]
    chosen = [e["chosen"] for e in told if e["event"] == "end"]
    curves = [curve for curve in (_binned(training), _curve("held-out", held_out)) if curve.steps]
    return TrainingTrace(tuple(curves), chosen[-1] if chosen else None) if curves else None


def _lines(events: Path) -> list[dict[str, Any]]:
    """All whole lines; the last one of a killed run may be cut off."""
    found = []
    for line in events.read_text(encoding="utf-8").splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            break
    return found


def _binned(losses: Sequence[tuple[int, float]]) -> Curve:
    """Means over stretches of steps: single steps are too noisy to look at."""
    pairs = np.array(losses, dtype=float).reshape(-1, 2)
    stretches = np.array_split(pairs, min(_POINTS, len(pairs))) if len(pairs) else []
    means = [stretch.mean(axis=0) for stretch in stretches]
    return Curve("training", tuple(round(m[0]) for m in means), tuple(float(m[1]) for m in means))


def _curve(role: str, losses: Sequence[tuple[int, float]]) -> Curve:
    return Curve(role, tuple(step for step, _ in losses), tuple(loss for _, loss in losses))
