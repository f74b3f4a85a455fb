"""The certificate: one page of text with the numbers, and hashes of all that they depend on."""

import hashlib
from pathlib import Path

from charaforge.evaluation.apart import was_checked
from charaforge.evaluation.results import Evaluation
from charaforge.evaluation.tables import arm_rows, markdown, measure_rows
from charaforge.evaluation.verdict import counted, told_rate, verdict
from charaforge.forge.effort import CERTIFICATE_PROMPTS
from charaforge.forge.plan import ForgePlan
from charaforge.warehouse.atomic import write_text

_FULL_SEEDS = 4


def write_certificate(e: Evaluation, plan: ForgePlan, path: Path) -> Path:
    """Write ``CERTIFICATE.md``; nothing in it depends on the clock."""
    told = verdict(e)
    parts = [
        f"# {'Certificate' if told.passed else 'No certificate'}: {e.lora}",
        f"**{told.result}.** {told.headline}.",
        told.paragraph,
        markdown(arm_rows(e)),
        "## How the checkpoint was chosen",
        _choice(e),
        "## Everything else that was measured",
        markdown(measure_rows(e)),
        "## What it holds for",
        markdown([("what", "which"), *_named(e, plan)]),
        _extent(e),
    ]
    write_text(path, "\n\n".join(parts) + "\n")
    return path


def _choice(e: Evaluation) -> str:
    choice = e.choice
    if choice is None:
        return "It was given, not chosen."
    rows: list[tuple[str, ...]] = [("checkpoint", "weight", "screened", "measured", "pictures", "fails")]
    for one in (*choice.checkpoints, *choice.weights):
        closer = "–" if one.measured is None else f"{one.measured:.3f}"
        mark = " (chosen)" if (one.step, one.weight) == (choice.step, choice.weight) else ""
        rows.append(
            (
                f"step {one.step:,}{mark}",
                f"{one.weight:g}",
                f"{one.screened:.3f}",
                closer,
                str(one.pictures),
                ", ".join(one.faults) or "–",
            )
        )
    looked_at = counted(len(choice.checkpoints), "checkpoint")
    closer = counted(sum(one.measured is not None for one in choice.checkpoints), "finalist")
    prompts = len(choice.prompts)
    told = f"{looked_at} on {prompts} × 1 pictures, {closer} on {prompts} × {len(choice.seeds)}."
    return f"{told}\n\n{markdown(rows)}"


def _named(e: Evaluation, plan: ForgePlan) -> list[tuple[str, str]]:
    judges = [(f"judge of {use}", name) for use, name in e.judges.items()]
    return [
        ("LoRA", f"{e.lora}, weight {e.lora_weight:g}, sha256 {e.lora_sha256[:16]}"),
        ("base", f"{e.model}, sha256 {e.model_sha256[:16]}"),
        ("references", _references(e)),
        ("impostors", ", ".join(f"{one.pictures:,} {one.kind}" for one in e.impostors)),
        ("threshold", f"{e.threshold.value:.4f} at {told_rate(e.threshold)}"),
        ("prompts", f"{_file(plan.fresh_prompts or plan.prompts)}, {_extent_of(e)}"),
        *judges,
        *((name, value) for name, value in e.settings.items() if name not in ("LoRA weight", "prompts file")),
    ]


def _references(e: Evaluation) -> str:
    count = len(e.references)
    return f"{count} held-out pictures" if was_checked(e) else f"{count} pictures, maybe trained on"


def _extent(e: Evaluation) -> str:
    """Say whether it is a full certificate, or which numbers are missing to one."""
    if len(e.prompts) >= CERTIFICATE_PROMPTS and len(e.seeds) >= _FULL_SEEDS:
        return f"Full: {_extent_of(e)}."
    return (
        f"Short: {_extent_of(e)}. A certificate to be published calls for "
        f"{CERTIFICATE_PROMPTS} × {_FULL_SEEDS}: `charaforge forge … --certificate`."
    )


def _extent_of(e: Evaluation) -> str:
    return f"{counted(len(e.prompts), 'prompt')} × {counted(len(e.seeds), 'seed')}"


def _file(path: Path) -> str:
    return f"{path.name} (sha256 {hashlib.sha256(path.read_bytes()).hexdigest()[:16]})"
