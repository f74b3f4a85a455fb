"""One of each fault; `make faults` does them many times over and prints the table."""

from __future__ import annotations

import pytest

from tests.backend.jobs.faults import SCENARIOS, Setting, run_once

pytestmark = pytest.mark.launch

SMALL = Setting(items=80, ms=40, cut_s=20.0)


@pytest.mark.parametrize("name", SCENARIOS)
def test_nothing_is_lost_doubled_or_altered(name: str) -> None:
    try:
        told = run_once(name, SMALL, seed=7)
    except PermissionError as error:
        pytest.skip(str(error))
    assert told.fine, told
