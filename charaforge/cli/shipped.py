"""Files that ship with the repository, beside the package: the prompts of evaluations."""

from __future__ import annotations

from pathlib import Path

from charaforge.errors import UsageError

_REPOSITORY = Path(__file__).resolve().parents[2]

PROMPTS = "docs/prompts/charA_eval_prompts.json"
FRESH_PROMPTS = "docs/prompts/charA_fresh_prompts.json"


def shipped(name: str) -> Path:
    """Return the path of a file of the repository.

    Raises:
        UsageError: it is not there, because the package was installed without the repository.
    """
    path = _REPOSITORY / name
    if not path.is_file():
        raise UsageError(
            f"{name} is not there", "run this in a clone of the repository, installed with pip install -e ."
        )
    return path
