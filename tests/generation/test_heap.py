"""Memory that is freed stays with the process until the next step, where a CPU renders."""

from __future__ import annotations

import subprocess
import sys

import pytest

FAULTS = """
import resource, torch
from charaforge.generation.heap import keep_freed_memory, libc
for parameter in (-1, -3):  # thresholds as glibc begins with; how it moves them hangs on what was loaded
    libc().mallopt(parameter, 128 * 1024)
{first}
def taken():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        blocks = [torch.ones(2**20) for _ in range(8)]  # 32 MiB, freed at once
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
taken()
print(taken())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="page faults are counted on Linux")
def test_freed_memory_is_not_taken_from_the_system_again() -> None:
    def faults(first: str) -> int:
        told = subprocess.run(
            [sys.executable, "-c", FAULTS.format(first=first)], check=True, capture_output=True, text=True
        )
        return int(told.stdout)

    assert faults("keep_freed_memory()") < 1000 < faults("")
