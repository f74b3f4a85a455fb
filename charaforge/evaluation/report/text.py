"""The report as Markdown: all tables, no pictures."""

from charaforge.evaluation.gates import told_passed
from charaforge.evaluation.results import CandidateRecord, ChoiceRecord, Evaluation, Refusal
from charaforge.evaluation.tables import arm_rows, between, markdown, measure_rows, not_measured
from charaforge.evaluation.verdict import verdict


def report_text(e: Evaluation) -> str:
    """Return ``report.md``."""
    told = verdict(e)
    parts = [
        f"# {told.headline}",
        f"**{told.result}.** {told.paragraph}",
        markdown(arm_rows(e)),
        f"LoRA minus traits in words, paired by prompt: {e.gain.estimate:+.3f} ({between(e.gain)}).",
        "## Metrics",
        markdown(measure_rows(e)),
        *_list("Not measured", [f"{label}: {reason}" for label, reason in not_measured(e)]),
        "## Gates",
        markdown(gate_rows(e)),
        *_list("Tags that come unasked", [f"{t}: {v:+.3f}" for t, v in e.leaking_tags.items()]),
        *_list("To be known", list(e.warnings)),
        *(_choice(e.choice) if e.choice else ()),
        "## Threshold",
        markdown(threshold_rows(e)),
        "## Settings",
        markdown(setting_rows(e)),
        f"```\n{e.command}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def refusal_text(refusal: Refusal) -> str:
    """Return ``report.md`` of what could not be measured."""
    parts = ["# Not measurable", f"**Why:** {refusal.why}", f"**What to do:** {refusal.remedy}"]
    return "\n\n".join([*parts, f"```\n{refusal.command}\n```"]) + "\n"


def gate_rows(e: Evaluation) -> list[tuple[str, ...]]:
    """Header and one row per gate."""
    rows: list[tuple[str, ...]] = [("gate", "measured", "at most", "passed")]
    for gate in e.gates:
        value = "–" if gate.value is None else f"{gate.value:.3f}"
        rows.append((gate.name, value, f"{gate.limit:.2f}", told_passed(gate)))
    return rows


def threshold_rows(e: Evaluation) -> list[tuple[str, ...]]:
    """Header and one row per kind of impostors."""
    rows: list[tuple[str, ...]] = [
        ("impostors", "n", "threshold", "false accepts", "95 % interval", "decides")
    ]
    for t in e.thresholds:
        share = f"{t.rate:.4f}", f"{t.rate_low:.4f}–{t.rate_high:.4f}"
        rows.append((t.source, str(t.impostors), f"{t.value:.4f}", *share, "yes" if t == e.threshold else ""))
    return rows


def setting_rows(e: Evaluation) -> list[tuple[str, ...]]:
    """Header and rows: models with their hashes, judges, settings, surroundings."""
    seeds = f"seeds {e.seeds[0]}–{e.seeds[-1]}" if len(e.seeds) > 1 else f"seed {e.seeds[0]}"
    told = {
        "base model": f"{e.model}, sha256 {e.model_sha256}",
        "LoRA": f"{e.lora}, sha256 {e.lora_sha256}",
        **{f"judge of {use}": name for use, name in e.judges.items()},
        "gallery": f"{e.gallery} other characters, {e.gallery_hard} of them hard negatives",
        "prompts, seeds": f"{len(e.prompts)} × {len(e.seeds)}, {seeds}",
        **e.settings,
        **e.environment,
    }
    return [("what", "value"), *told.items()]


def _choice(choice: ChoiceRecord) -> list[str]:
    return [
        "## Choice",
        markdown(candidate_rows(choice.checkpoints)),
        *([markdown(candidate_rows(choice.weights))] if choice.weights else []),
        f"Chosen: {choice.name} at weight {choice.weight:g}. It scored {choice.flattering:.3f} when it was "
        "chosen; the numbers above come from other prompts and seeds.",
    ]


def candidate_rows(candidates: tuple[CandidateRecord, ...]) -> list[tuple[str, ...]]:
    """Header and one row per checkpoint or weight."""
    rows: list[tuple[str, ...]] = [("LoRA", "weight", "screened", "measured", "n", "gates not passed")]
    for one in candidates:
        shares = ("–" if share is None else f"{share:.3f}" for share in (one.screened, one.measured))
        rows.append((one.name, f"{one.weight:g}", *shares, str(one.pictures), ", ".join(one.faults)))
    return rows


def _list(title: str, lines: list[str]) -> list[str]:
    return [f"**{title}**\n\n" + "\n".join(f"- {line}" for line in lines)] if lines else []
