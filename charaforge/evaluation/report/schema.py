"""The JSON schema of ``report.json``, as it is written down in ``report.schema.json``.

    python -m charaforge.evaluation.report.schema

writes it anew after a change of ``results``; a test compares the two.
"""

import json
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from charaforge.evaluation.results import Evaluation, Refusal
from charaforge.warehouse.atomic import write_json

FILE = "report.schema.json"
Report = Annotated[Evaluation | Refusal, Field(discriminator="status")]


def report_schema() -> dict[str, Any]:
    """Return the schema that is written down."""
    text = (resources.files(__package__) / FILE).read_text(encoding="utf-8")
    return dict(json.loads(text))


def current_schema() -> dict[str, Any]:
    """Return the schema that follows from the classes of ``results``."""
    found = TypeAdapter(Report).json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "report.json", **found}


def read_report(path: Path) -> Evaluation | Refusal:
    """Read a ``report.json``.

    Raises:
        ValueError: it is none of this version.
    """
    found: Evaluation | Refusal = TypeAdapter(Report).validate_json(path.read_text(encoding="utf-8"))
    return found


if __name__ == "__main__":
    write_json(Path(__file__).with_name(FILE), current_schema())
