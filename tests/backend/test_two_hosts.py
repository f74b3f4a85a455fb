"""Two hosts: API and Redis on one, a worker on the other, a folder shared, the cable cut meanwhile.

The hosts are network namespaces joined by a virtual cable; the worker also has a host name and process ids of
its own, so that nobody can tell from a pid whether it lives. The folder is one file system, which says
nothing about NFS: `tests/jobstore` has a disk that shows late.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from charaforge.warehouse.layout import Warehouse

pytestmark = pytest.mark.launch

ROOT = Path(__file__).resolve().parents[2]
A, B = "10.231.7.1", "10.231.7.2"
REDIS = f"redis://{A}:6379/0"


class Hosts:
    """Two namespaces and the cable between them.

    Args:
        warehouse: the shared folder.
        stack: undoes everything.
    """

    def __init__(self, warehouse: Warehouse, stack: ExitStack) -> None:
        self._stack, self._warehouse = stack, warehouse
        tag = f"cf{os.getpid() % 100000}"
        self.a, self.b, self._cable = f"{tag}a", f"{tag}b", f"{tag}v"
        for name in (self.a, self.b):
            self._ip("netns", "add", name)
            stack.callback(self._ip, "netns", "del", name)
        self._ip("link", "add", f"{self._cable}0", "type", "veth", "peer", "name", f"{self._cable}1")
        for name, address, end in ((self.a, A, "0"), (self.b, B, "1")):
            cable = f"{self._cable}{end}"
            self._ip("link", "set", cable, "netns", name)
            self._ip("-n", name, "addr", "add", f"{address}/24", "dev", cable)
            self._ip("-n", name, "link", "set", cable, "up")
            self._ip("-n", name, "link", "set", "lo", "up")

    def plug(self, state: str) -> None:
        """Cut the cable ("down") or join it again ("up")."""
        self._ip("-n", self.a, "link", "set", f"{self._cable}0", state)

    def start(self, host: str, *words: str) -> None:
        """Start a program on a host."""
        own = ["unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
        named = ["sh", "-c", f'hostname {host}; exec "$@"', "sh", *words]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("API_")}
        process = subprocess.Popen(
            ["ip", "netns", "exec", host, *own, *named],
            env={
                **kept,
                "REDIS_URL": REDIS,
                "AI_CACHE_ROOT": str(self._warehouse.root),
                "JOB_RENDERER": "pattern:100",
            },
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)

    def ask(self, path: str, *more: str) -> Any:
        """Ask the API on host A; nothing where it does not answer 2xx."""
        words = ["ip", "netns", "exec", self.a, "curl", "-sf", *more, f"http://localhost:8000/api/v1{path}"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        return json.loads(done.stdout) if done.returncode == 0 else None

    @staticmethod
    def _ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def hosts(warehouse: Warehouse) -> Iterator[Hosts]:
    with ExitStack() as stack:
        try:
            made = Hosts(warehouse, stack)
        except (subprocess.CalledProcessError, FileNotFoundError):
            pytest.skip("network namespaces are not allowed here")
        yield made


def until(what: Any, seconds: float = 60.0) -> Any:
    start = time.monotonic()
    while not (told := what()):
        assert time.monotonic() - start < seconds, f"still {told!r}"
        time.sleep(0.2)
    return told


@pytest.mark.parametrize("cut_s", [8.0, pytest.param(60.0, marks=pytest.mark.slow)])
def test_a_batch_goes_on_when_the_cable_is_cut(
    hosts: Hosts, warehouse: Warehouse, tmp_path: Path, cut_s: float
) -> None:
    python = sys.executable
    hosts.start(hosts.a, "redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--save", "")
    hosts.start(hosts.a, python, "-m", "uvicorn", "backend.main:app", "--port", "8000")
    hosts.start(hosts.b, python, "-m", "celery", "-A", "backend.jobs.worker", "worker", "--loglevel=INFO")
    until(lambda: hosts.ask("/ready"))
    (worker,) = hosts.ask("/workers")["workers"]
    assert (worker["host"], worker["alive"]) == (hosts.b, True)
    total = 60 if cut_s < 10 else 400
    file = tmp_path / "a.csv"
    file.write_text(f"prompt,seed\nx,1..{total}\n", encoding="utf-8")
    job_id = hosts.ask("/batch/submit", "-F", f"file=@{file}")["job_id"]
    until(lambda: hosts.ask(f"/batch/status/{job_id}")["done"] >= 8)
    hosts.plug("down")
    time.sleep(cut_s)
    hosts.plug("up")
    ended = until(lambda: (s := hosts.ask(f"/batch/status/{job_id}"))["state"] == "completed" and s, 120)
    assert (ended["done"], ended["failed"]) == (total, 0)
    assert len(list((warehouse.outputs / ended["folder"]).glob("*.png"))) == total
    pictures = json.loads((warehouse.outputs / ended["folder"] / "0001.json").read_text(encoding="utf-8"))
    assert pictures["worker"].startswith(hosts.b)
