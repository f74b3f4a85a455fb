"""How long users wait before anything happens, and whether torch is loaded meanwhile.

    python benchmarks/startup.py [--rounds 5]

Prints medians: seconds of `charaforge --help`, and from `uvicorn backend.main:app` to the first
answer of /api/v1/health, with processor seconds beside them. Exit code 4 when a bar is missed.
"""

from __future__ import annotations

import argparse
import os
import resource
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path

from charaforge.errors import ExitCode

HELP_BAR_S = 0.3
HEALTH_BAR_S = 3.0


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured")
    rounds = parser.parse_args().rounds
    told = [_measured("charaforge --help", _help, rounds, HELP_BAR_S)]
    told.append(_measured("uvicorn to /health", _health, rounds, HEALTH_BAR_S))
    return ExitCode.PASS if all(told) else ExitCode.FAILED


def _measured(name: str, once: object, rounds: int, bar_s: float) -> bool:
    assert callable(once)
    times_s, cpu_s = [], []
    for _ in range(rounds):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        times_s.append(once())
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_s.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    wall_s, used_s = statistics.median(times_s), statistics.median(cpu_s)
    print(f"{name}: {wall_s:.3f} s (processor {used_s:.3f} s), bar {bar_s} s")
    return wall_s <= bar_s


def _help() -> float:
    start = time.monotonic()
    subprocess.run(
        [Path(sys.executable).with_name("charaforge"), "--help"], stdout=subprocess.DEVNULL, check=False
    )
    return time.monotonic() - start


def _health() -> float:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "backend.main:app", "--port", str(port)]
    environment = {**os.environ, "REDIS_URL": "memory://"}
    start = time.monotonic()
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            while process.poll() is None:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/health", timeout=5).close()
                    return time.monotonic() - start
                except urllib.error.URLError:
                    time.sleep(0.01)
            raise SystemExit("the service ended before it answered")
        finally:
            process.terminate()


if __name__ == "__main__":
    sys.exit(main())
