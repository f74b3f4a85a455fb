"""Jobs that are a command: a verb of `charaforge` in a process of its own, with progress, cancel and resume.

A verb that is stopped and run again goes on where it was, as `train`, `curate` and `eval` do; so a job that
is given back or loses its worker is simply run again.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from charaforge.errors import ExitCode
from charaforge.jobstore.job import Job
from charaforge.jobstore.marks import Failure
from charaforge.logs import EVERY

PROGRAM = (sys.executable, "-m", "charaforge.cli.main")
POLL_S = 0.2
LOOK_EVERY = 5  # polls
SIGNALLED = 128  # exit codes above it tell the signal
_TAIL_BYTES = 8192
_BAR = re.compile(r"(?P<label>[\w ,'-]+?) \[[#.]+\] (?P<done>\d+)/(?P<total>\d+)(?P<rest>[^\r\n]*)")
_SLUGS: dict[int, str] = {
    ExitCode.USAGE: "usage",
    ExitCode.NOT_MEASURABLE: "not-measurable",
    ExitCode.FAILED: "failed",
}
_LAST_LINES = 6
_LOGGED = re.compile(r"(DEBUG|INFO|WARNING) [\w.]+: |\[cache\] ")


def run_command(job: Job, may_go_on: Callable[[], None]) -> Failure | None:
    """Run a job's command to its end.

    Args:
        job: the job.
        may_go_on: called now and then; what it raises stops the command.

    Returns:
        Why it failed; None where it did not.

    Raises:
        RuntimeError: something from outside ended it.
    """
    command = [sys.executable, "-m", "backend.jobs.tether", *PROGRAM]
    with job.folder.log.open("ab") as log:
        process = subprocess.Popen(
            [*command, *job.spec.command],
            env={**os.environ, EVERY: "1"},
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        _attend(job, process, may_go_on)
    finally:
        if process.stdin is not None:
            process.stdin.close()  # where it still runs, the tether now ends it
        code = process.wait()
    if code < 0 or code > SIGNALLED:
        raise RuntimeError(f"the command of job {job.id} was ended from outside (exit code {code})")
    if code == 0:
        return None
    return Failure(1, _SLUGS.get(code, "fault"), _said(job))


def last_words(job: Job) -> str:
    """Return what the command of a job said at its end: where its LoRA or report is, the verdict."""
    try:
        lines = _tail(job.folder.log).splitlines()
    except FileNotFoundError:
        return ""
    told = [line for line in lines if line.strip() and not _BAR.search(line) and not _LOGGED.match(line)]
    return "\n".join(told[-_LAST_LINES:])


def _attend(job: Job, process: subprocess.Popen[bytes], may_go_on: Callable[[], None]) -> None:
    """Wait for the end, telling how far it is."""
    polls = 0
    while process.poll() is None:
        time.sleep(POLL_S)
        may_go_on()
        polls += 1
        if polls % LOOK_EVERY == 0:
            bars = list(_BAR.finditer(_tail(job.folder.log)))
            if bars:
                last = bars[-1]
                note = f"{last['label'].strip()}{last['rest'].rstrip()}"
                job.report(int(last["done"]), int(last["total"]), note)


def _said(job: Job) -> str:
    """Return the last error that the command told, else its last line."""
    lines = [line for line in _tail(job.folder.log).splitlines() if line.strip()]
    errors = [place for place, line in enumerate(lines) if line.startswith("error: ")]
    told = lines[errors[-1] :] if errors else lines[-1:]
    return "\n".join(told).removeprefix("error: ") or "the command failed and said nothing"


def _tail(path: Path) -> str:
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        return stream.read().decode("utf-8", "replace")
