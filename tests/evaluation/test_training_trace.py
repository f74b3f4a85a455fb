"""Loss curves from a LoRA's journal."""

import json
from pathlib import Path

import pytest

from charaforge.evaluation.training_trace import read_trace


def journal(path: Path) -> Path:
    events = [{"event": "validation", "step": 0, "loss": 0.9, "best": True}]
    for step in range(1, 501):
        events.append({"event": "step", "step": step, "loss": 1.0 if step % 2 else 0.5})
        if step % 100 == 0:
            events.append({"event": "validation", "step": step, "loss": 0.5, "best": step <= 300})
    events.append({"event": "end", "step": 500, "reason": "steps", "chosen": 300})
    path.write_text("".join(json.dumps(e) + "\n" for e in events) + '{"event": "st', encoding="utf-8")
    return path


def test_curves_and_the_chosen_step(tmp_path: Path) -> None:
    trace = read_trace(journal(tmp_path / "events.jsonl"))
    assert trace is not None
    training, held_out = trace.curves
    assert len(training.steps) <= 120
    assert training.values == pytest.approx([0.75] * len(training.values), abs=0.07), (
        "single steps are averaged"
    )
    assert held_out.steps == (0, 100, 200, 300, 400, 500)
    assert trace.chosen_step == 300


def test_a_lora_from_elsewhere_has_none(tmp_path: Path) -> None:
    assert read_trace(tmp_path / "events.jsonl") is None
