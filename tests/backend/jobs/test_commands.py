"""Jobs that run a verb of `charaforge`."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from backend.jobs import commands
from backend.jobs.commands import run_command
from charaforge.jobstore.dispatch import Dispatcher
from charaforge.jobstore.job import Job
from charaforge.jobstore.store import JobStore
from charaforge.jobstore.work import Worker
from charaforge.warehouse.layout import Warehouse
from tests.jobstore.world import Rendering

pytestmark = pytest.mark.launch

BAR = 'import sys,time; print("training [##....] 3/12  loss 0.1", flush=True); time.sleep(1.5); sys.exit({})'


class Bench:
    """A worker in this process, for commands."""

    def __init__(self, warehouse: Warehouse) -> None:
        self.store = JobStore(warehouse)
        self.due: list[tuple[str, int]] = []
        self.dispatcher = Dispatcher(
            self.store, lambda job, shard: self.due.append((job.id, shard)), lambda: 1
        )
        self.worker = Worker(self.store, Rendering(), run_command, self.dispatcher.top_up)

    def do(self, job: Job) -> None:
        self.dispatcher.top_up(job)
        while self.due:
            self.worker.do(*self.due.pop(0))


@pytest.fixture
def bench(warehouse: Warehouse) -> Bench:
    return Bench(warehouse)


@pytest.fixture
def python(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands are Python code instead of verbs."""
    monkeypatch.setattr(commands, "PROGRAM", (sys.executable, "-c"))


def test_a_verb_is_run_and_its_words_kept(bench: Bench) -> None:
    job = bench.store.submit_command("models", ["models", "list", "--kind", "base"])
    bench.do(job)
    assert (job.outcome() or {})["state"] == "completed"
    assert "mini-sd" in job.folder.log.read_text(encoding="utf-8")


def test_the_error_of_a_verb_is_the_failure_of_the_job(bench: Bench) -> None:
    job = bench.store.submit_command("train", ["train", "--stepps", "3"])
    bench.do(job)
    told = bench.store.status(job)
    assert (told.state, told.failures[0].slug) == ("failed", "usage")
    assert "--stepps" in told.failures[0].message


@pytest.mark.usefixtures("python")
def test_progress_is_told(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(Job, "report", lambda self, *told: seen.append(told))
    bench.do(bench.store.submit_command("train", [BAR.format(0)]))
    assert seen[0] == (3, 12, "training  loss 0.1")


@pytest.mark.usefixtures("python")
def test_cancel_ends_the_command(bench: Bench, tmp_path: Path) -> None:
    code = f"import pathlib,time; pathlib.Path({str(tmp_path / 'up')!r}).touch(); time.sleep(60)"
    job = bench.store.submit_command("train", [code])
    original = job.files.room

    def room(folder: Path) -> bool:
        if (tmp_path / "up").exists() and not job.cancelled():
            job.cancel()
        return original(folder)

    job.files.room = room  # type: ignore[method-assign]
    start = time.monotonic()
    bench.do(job)
    assert time.monotonic() - start < 20
    assert (job.outcome() or {})["state"] == "cancelled"


@pytest.mark.usefixtures("python")
def test_a_command_that_is_killed_is_run_again(bench: Bench, tmp_path: Path) -> None:
    mark = tmp_path / "again"
    code = (
        f"import os,pathlib,signal\np=pathlib.Path({str(mark)!r})\n"
        "if not p.exists(): p.touch(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    job = bench.store.submit_command("train", [code])
    bench.dispatcher.top_up(job)
    with pytest.raises(RuntimeError, match="from outside"):
        bench.worker.do(*bench.due.pop(0))
    bench.do(job)
    assert (job.outcome() or {})["state"] == "completed"


def test_a_tethered_command_ends_with_its_parent(tmp_path: Path) -> None:
    code = f"import time,pathlib; pathlib.Path({str(tmp_path / 'up')!r}).touch(); time.sleep(60)"
    process = subprocess.Popen(
        [sys.executable, "-m", "backend.jobs.tether", sys.executable, "-c", code], stdin=subprocess.PIPE
    )
    while not (tmp_path / "up").exists():
        time.sleep(0.02)
    if process.stdin is not None:
        process.stdin.close()
    assert process.wait(20) == 128 + 15
