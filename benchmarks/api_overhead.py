"""What the service adds to the engine: p50 of a call over HTTP less the time of the work itself.

    python benchmarks/api_overhead.py [--rounds 100]

A service in a process of its own renders a small picture again and again; its answers tell how long the work
took (`elapsed_ms`, from the start of the task to the picture). Exit code 4 when the bar is missed.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import time
from contextlib import closing

from charaforge.client.service import Service
from charaforge.errors import ExitCode, ServiceError

BAR_MS = 25.0
BODY = {"width": 64, "height": 64, "steps": 2, "seed": 1}


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100, help="how many pictures")
    rounds = parser.parse_args().rounds
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "backend.main:app", "--port", str(port)]
    environment = {**os.environ, "REDIS_URL": "memory://"}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            with Service(f"http://127.0.0.1:{port}") as service:
                _wait(service)
                extra_ms = sorted(_extra_ms(service) for _ in range(rounds + 1))
        finally:
            process.terminate()
    p50, p95 = statistics.median(extra_ms), extra_ms[int(0.95 * rounds)]
    print(f"the service adds p50 {p50:.1f} ms, p95 {p95:.1f} ms over {rounds} pictures; bar {BAR_MS} ms")
    return ExitCode.PASS if p50 <= BAR_MS else ExitCode.FAILED


def _wait(service: Service) -> None:
    for _ in range(600):
        try:
            service.health()
            return
        except ServiceError:
            time.sleep(0.1)


def _extra_ms(service: Service) -> float:
    start = time.monotonic()
    reply = service.txt2img("1girl", **BODY)
    return (time.monotonic() - start) * 1000 - reply.elapsed_ms


if __name__ == "__main__":
    sys.exit(main())
