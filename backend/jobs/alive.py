"""`python -m backend.jobs.alive`: exit code 0 where a worker of this machine lives, for health checks."""

from __future__ import annotations

import socket
import sys

from charaforge.errors import CharaForgeError, ExitCode
from charaforge.jobstore.files import Files
from charaforge.jobstore.heart import Workers
from charaforge.warehouse.bootstrap import bootstrap


def main() -> int:
    """Look at the heartbeat files; print the workers that live here."""
    try:
        workers = Workers(Files(), bootstrap().batches / ".workers").list()
    except CharaForgeError as error:
        sys.stderr.write(f"error: {error}\n")
        return ExitCode.FAULT
    mine = [worker.name for worker in workers if worker.alive and worker.host == socket.gethostname()]
    sys.stdout.write("".join(f"{name}\n" for name in mine))
    return ExitCode.PASS if mine else ExitCode.FAULT


if __name__ == "__main__":
    sys.exit(main())
