"""The part of a LoRA's model card that tells what was measured."""

from charaforge.evaluation.results import Evaluation
from charaforge.evaluation.tables import arm_rows, markdown, measure_rows, not_measured
from charaforge.evaluation.verdict import verdict

BEGIN, END = "<!-- measured -->", "<!-- end of what was measured -->"
_UNTOLD = (
    " How much the results look like the character has not\nbeen measured by the training; `charaforge eval` "
    "does that."
)


def with_measures(card: str, e: Evaluation) -> str:
    """Return a model card with the section "Measured", in place of the one that it had."""
    before, _, rest = card.partition(BEGIN)
    after = rest.partition(END)[2] if rest else ""
    return f"{before.replace(_UNTOLD, '').rstrip()}\n\n{_section(e)}\n{after.lstrip()}".rstrip() + "\n"


def _section(e: Evaluation) -> str:
    left_out = "".join(f"- {label}: {reason}\n" for label, reason in not_measured(e))
    parts = [
        BEGIN,
        "## Measured",
        verdict(e).paragraph,
        f"{'Recommended weight:' if e.choice else 'Measured at weight'} {e.lora_weight:g}.",
        markdown(arm_rows(e)),
        markdown(measure_rows(e)),
        f"Not measured:\n{left_out}" if left_out else "",
        "".join(f"- {line}\n" for line in e.warnings),
        END,
    ]
    return "\n\n".join(part.strip() for part in parts if part)
