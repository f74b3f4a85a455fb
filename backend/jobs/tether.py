"""`python -m backend.jobs.tether COMMAND …`: runs a command that ends when whoever started this is gone.

Its standard input is a pipe that its parent holds open and never writes to: at its end the command gets
SIGTERM, and after GRACE_S SIGKILL. So a worker that is killed leaves no training behind while another one
begins it again.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading

GRACE_S = 30.0


def main(command: list[str]) -> int:
    """Run a command; return its exit code, as a shell would tell it."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        threading.Thread(target=_end_with_parent, args=(process,), daemon=True).start()
        code = process.wait()
    return code if code >= 0 else 128 - code


def _end_with_parent(process: subprocess.Popen[bytes]) -> None:
    while os.read(0, 4096):  # not sys.stdin, whose lock a thread at the interpreter's end must not hold
        pass
    process.terminate()
    try:
        process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
