"""docker-compose.yml: it says what the README promises, and its very commands work on this machine."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from charaforge.warehouse.layout import Warehouse
from tests.backend.test_launch import free_port

ROOT = Path(__file__).resolve().parents[2]
VALUES = {"API_TOKEN": "t" * 40, "REDIS_PASSWORD": "secret-of-the-broker"}
CSV = "prompt,seed\nx,1..50\n"


def compose() -> dict[str, Any]:
    told: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    return told


def filled(text: str) -> str:
    """Put the values in the place of `${NAME}` and `${NAME:?message}`."""
    return re.sub(r"\$\{(\w+)(?::\?[^}]*)?\}", lambda match: VALUES[match[1]], text)


def environment_of(service: dict[str, Any]) -> dict[str, str]:
    return dict(filled(line).split("=", 1) for line in service.get("environment", []))


def test_services_volumes_port_and_names_are_those_of_the_mission() -> None:
    services = compose()["services"]
    assert set(services) == {"api", "redis", "worker"}
    assert services["redis"]["image"] == "redis:7"
    assert services["api"]["ports"] == ["8000:8000"]
    for name in ("api", "worker"):
        assert services[name]["volumes"] == ["/warehouse/cache:/warehouse/cache"]
        assert environment_of(services[name])["AI_CACHE_ROOT"] == "/warehouse/cache"
        assert environment_of(services[name])["REDIS_URL"].endswith("@redis:6379/0")
    assert environment_of(services["api"])["API_CORS_ORIGINS"] == "http://localhost:3000"
    assert services["api"]["command"] == "uvicorn backend.main:app --host 0.0.0.0 --port 8000"
    assert services["worker"]["command"] == "celery -A backend.jobs.worker worker --loglevel=INFO"


def test_the_broker_is_closed_and_nothing_starts_without_its_secrets() -> None:
    services = compose()["services"]
    assert "ports" not in services["redis"]
    assert "--requirepass ${REDIS_PASSWORD:?" in services["redis"]["command"]
    assert any(line.startswith("API_TOKEN=${API_TOKEN:?") for line in services["api"]["environment"])
    assert all("healthcheck" in service for service in services.values())


def test_the_images_are_built_of_files_that_are_there() -> None:
    for service in ("api", "worker"):
        build = compose()["services"][service]["build"]
        text = (ROOT / build["context"] / build["dockerfile"]).read_text(encoding="utf-8")
        copied = [
            words for line in text.splitlines() if line.startswith("COPY") for words in line.split()[1:-1]
        ]
        assert copied
        assert [path for path in copied if not (ROOT / path).exists()] == []
        assert "USER forge" in text
    assert yaml.safe_load((ROOT / "docker" / "gpu.yml").read_text(encoding="utf-8"))["services"]["worker"]


WITHOUT_ENGINE = """
import sys
from importlib.abc import MetaPathFinder

class Missing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {missing!r}:
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Missing())
from backend.main import app
print(len(app.openapi()["paths"]))
"""


@pytest.mark.launch
def test_the_api_s_image_needs_nothing_but_its_extras(warehouse: Warehouse) -> None:
    text = (ROOT / "docker" / "api.Dockerfile").read_text(encoding="utf-8")
    assert "-e '.[service,ui]'" in text
    missing = {"torch", "diffusers", "transformers", "huggingface_hub", "accelerate", "peft", "onnxruntime"}
    missing |= {"cv2", "skia", "scipy", "jinja2", "onnx", "pyarrow", "threadpoolctl"}
    code = WITHOUT_ENGINE.replace("{missing!r}", repr(missing))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert int(done.stdout or 0) > 30, done.stderr


class Farm:
    """The services of the file as processes, with this machine's ports and folders.

    Args:
        root: what stands for /warehouse/cache.
        stack: ends the processes.
    """

    def __init__(self, root: Path, stack: ExitStack) -> None:
        self.services, self._root, self._stack = compose()["services"], root, stack
        self.ports = {"8000": str(free_port()), "6379": str(free_port())}
        self.url = f"http://127.0.0.1:{self.ports['8000']}"

    def here(self, text: str) -> str:
        """Return a text with the names of containers replaced."""
        text = filled(text).replace("/warehouse/cache", str(self._root))
        text = text.replace("@redis:6379", f"@127.0.0.1:{self.ports['6379']}")
        return text.replace("--port 8000", f"--port {self.ports['8000']}")

    def start(self, name: str) -> subprocess.Popen[bytes]:
        service = self.services[name]
        words = shlex.split(self.here(service["command"]))
        if name == "redis":
            words += ["--port", self.ports["6379"], "--bind", "127.0.0.1"]
        else:
            words = [sys.executable, "-m", *words]
        given = {key: self.here(value) for key, value in environment_of(service).items()}
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("API_", "REDIS_"))}
        process = subprocess.Popen(
            words, env={**kept, **given, "JOB_RENDERER": "pattern:100"}, cwd=ROOT, stderr=subprocess.DEVNULL
        )
        self._stack.callback(self.end, process)
        return process

    @staticmethod
    def end(process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def ask(self, path: str, data: bytes | None = None, kind: str = "") -> Any:
        headers = {
            "Authorization": f"Bearer {VALUES['API_TOKEN']}",
            **({"Content-Type": kind} if kind else {}),
        }
        request = urllib.request.Request(f"{self.url}{path}", data, headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def status(self, path: str) -> int:
        try:
            self.ask(path)
        except urllib.error.HTTPError as error:
            return error.code
        except urllib.error.URLError:
            return 0
        return 200

    def until(self, path: str, wanted: int, seconds: float) -> float:
        """Wait for a status; return how long it took."""
        start = time.monotonic()
        while self.status(path) != wanted:
            assert time.monotonic() - start < seconds, f"{path} is {self.status(path)}, not {wanted}"
            time.sleep(0.2)
        return time.monotonic() - start


@contextmanager
def farm(root: Path) -> Iterator[Farm]:
    with ExitStack() as stack:
        yield Farm(root, stack)


@pytest.mark.launch
def test_a_batch_of_50_outlives_a_worker_and_ready_tells_of_redis(warehouse: Warehouse) -> None:
    with farm(warehouse.root) as services:
        redis = services.start("redis")
        services.start("api")
        workers = [services.start("worker"), services.start("worker")]
        services.until("/ready", 200, 60)
        while len(services.ask("/api/v1/workers")["workers"]) < 2:
            time.sleep(0.2)
        body = (
            f'--b\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n{CSV}\r\n--b--\r\n'
        )
        sent = services.ask("/api/v1/batch/submit", body.encode(), "multipart/form-data; boundary=b")
        assert sent["total"] == 50
        where = f"/api/v1/batch/status/{sent['job_id']}"
        while services.ask(where)["done"] < 10:
            time.sleep(0.05)
        workers[0].send_signal(signal.SIGKILL)
        killed = time.monotonic()
        while (told := services.ask(where))["state"] in ("queued", "running"):
            assert time.monotonic() - killed < 60, told
            time.sleep(0.1)
        assert (told["state"], told["done"], told["failed"]) == ("completed", 50, 0)
        assert len(list((warehouse.outputs / told["folder"]).glob("*.png"))) == 50
        redis.send_signal(signal.SIGKILL)
        assert services.until("/ready", 503, 15) < 15
        assert services.status("/health") == 200
        services.start("redis")
        assert services.until("/ready", 200, 30) < 30
