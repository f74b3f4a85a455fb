"""The service as the README starts it, in a process of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from charaforge.warehouse.layout import Warehouse

pytestmark = pytest.mark.launch

SMOKE = {
    "prompt": "anime girl, blue hair, hoodie, looking at camera",
    "steps": 25,
    "width": 768,
    "height": 768,
    "seed": 1234,
}


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def service() -> Iterator[tuple[str, int]]:
    """Start `uvicorn backend.main:app`; yield its URL and its process id once it answers."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "backend.main:app", "--host", "0.0.0.0", "--port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        try:
            url = f"http://127.0.0.1:{port}/api/v1"
            for _ in range(1200):
                try:
                    assert fetch(f"{url}/health")["ok"] is True
                    break
                except urllib.error.URLError:
                    assert process.poll() is None, (process.stderr or sys.stdin).read()
                    time.sleep(0.05)
            yield url, process.pid
        finally:
            process.terminate()


def fetch(url: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=600) as answer:
        return json.load(answer)


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used, which does not depend on what else runs."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.usefixtures("warehouse")
def test_health_answers_within_3_seconds_of_work() -> None:
    with service() as (_, pid):
        assert cpu_seconds(pid) < 3.0


def test_the_smoke_request_of_the_quick_start(warehouse: Warehouse) -> None:
    with service() as (url, _):
        reply = fetch(f"{url}/txt2img", SMOKE)
    with Image.open(reply["image_path"]) as image:
        assert image.size == (768, 768)
    sidecar = json.loads(Path(reply["metadata_path"]).read_text(encoding="utf-8"))
    assert Path(reply["image_path"]).is_relative_to(warehouse.outputs)
    assert sidecar["native"] == {"width": 128, "height": 128}
    assert sidecar["upscaler"]["name"] == "mini-upscaler"


def test_a_worker_without_redis_says_what_to_start() -> None:
    command = [sys.executable, "-m", "celery", "-A", "backend.jobs.worker", "worker"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert "docker run -p 6379:6379 --name redis -d redis:7" in done.stderr
