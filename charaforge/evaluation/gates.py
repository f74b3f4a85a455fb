"""Gates: what a LoRA must not do, however much it looks like the character."""

from collections.abc import Sequence
from dataclasses import dataclass

from charaforge.evaluation.results import GateRecord


@dataclass(frozen=True, slots=True)
class Gates:
    """Largest values that pass.

    Attributes:
        copies: Share of pictures that are training pictures again.
        corruption: Share of broken pictures.
        drift: 1 - cosine to the base's pictures where nobody asked for the character.
        recall_loss: By how much tag recall may lie below the base's that is told the traits.
        trait_loss: By how much a fixed trait may be rarer than in real pictures.
    """

    copies: float = 0.05
    corruption: float = 0.05
    drift: float = 0.90
    recall_loss: float = 0.20
    trait_loss: float = 0.25

    def check(
        self,
        copies: float | None = None,
        corruption: float | None = None,
        drift: float | None = None,
        recall_loss: float | None = None,
        trait_loss: float | None = None,
    ) -> tuple[GateRecord, ...]:
        """Check what was measured; what was not passes."""
        values = {"copies": copies, "corruption": corruption, "drift": drift}
        values |= {"recall_loss": recall_loss, "trait_loss": trait_loss}
        return tuple(
            GateRecord(name=name, value=value, limit=limit, passed=value is None or value <= limit)
            for name, value in values.items()
            for limit in [getattr(self, name)]
        )


def faults(gates: Sequence[GateRecord]) -> tuple[str, ...]:
    """Names of the gates that are not passed."""
    return tuple(gate.name for gate in gates if not gate.passed)


def copying_unmeasured(gates: Sequence[GateRecord]) -> bool:
    """Whether nobody knows how many pictures are copies; that gate is open then."""
    return all(gate.value is None for gate in gates if gate.name == "copies")


def told_passed(gate: GateRecord) -> str:
    """What tables say of a gate."""
    if gate.value is None:
        return "not measured"
    return "yes" if gate.passed else "NO"
