"""The four steps of the README's quick start, word for word, in a network of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from charaforge.warehouse.layout import Warehouse

pytestmark = pytest.mark.launch

ROOT = Path(__file__).resolve().parents[2]
API = "uvicorn backend.main:app --host 0.0.0.0 --port 8000"
WORKER = "celery -A backend.jobs.worker worker --loglevel=INFO"
BODY = (
    '{"prompt":"anime girl, blue hair, hoodie, looking at camera",'
    '"steps":25,"width":768,"height":768,"seed":1234}'
)
SMOKE = rf"""curl -X POST http://localhost:8000/api/v1/txt2img \
  -H "Content-Type: application/json" \
  -d '{BODY}'
"""
BATCH = "curl -s -X POST http://localhost:8000/api/v1/batch/submit -F file=@jobs/mini_batch.csv"
REDIS = "redis-server --port 6379 --save ''"  # for: docker run -p 6379:6379 --name redis -d redis:7
SCRIPT = """set -u
ip link set lo up
trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT
{redis}
{api} 2>api.log &
until curl -sf http://localhost:8000/api/v1/health >/dev/null; do sleep 0.2; done
{worker}
until curl -sf http://localhost:8000/api/v1/ready >/dev/null; do sleep 0.2; done
{then}
"""


def run(script: str, warehouse: Warehouse, folder: Path) -> str:
    """Run a shell script in a network of its own; return what it printed."""
    namespace = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
    if shutil.which("unshare") is None or subprocess.run([*namespace, "true"], check=False).returncode:
        pytest.skip("network namespaces are not allowed here")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("REDIS_", "API_"))}
    path = f"{Path(sys.executable).parent}:{kept.get('PATH', '')}"
    for name in ("backend", "jobs"):
        (folder / name).symlink_to(ROOT / name)
    done = subprocess.run(
        [*namespace, "bash", "-c", script],
        env={**kept, "PATH": path, "AI_CACHE_ROOT": str(warehouse.root), "PYTHONPATH": str(ROOT)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    logs = "".join(file.read_text(encoding="utf-8") for file in sorted(folder.glob("*.log")))
    assert done.returncode == 0, done.stderr + logs
    return done.stdout


@pytest.mark.parametrize("with_redis", [True, False])
def test_the_smoke_request_with_redis_and_without(
    warehouse: Warehouse, tmp_path: Path, with_redis: bool
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    script = SCRIPT.format(
        redis=f"{REDIS} >/dev/null &\nuntil redis-cli ping >/dev/null 2>&1; do sleep 0.1; done"
        if with_redis
        else "",
        api=API,
        worker=f"{WORKER} &>worker.log &" if with_redis else "",
        then=SMOKE,
    )
    reply: dict[str, Any] = json.loads(run(script, warehouse, folder))
    image = Path(reply["image_path"])
    with Image.open(image) as opened:
        assert opened.size == (768, 768)
    parts = image.relative_to(warehouse.outputs).parts
    assert len(parts) == 3
    assert image.name == "0001.png"
    assert image.with_suffix(".json").is_file()
    said = (folder / "api.log").read_text(encoding="utf-8")
    assert ("on workers behind redis://localhost:6379/0" in said) is with_redis


def test_a_worker_without_redis_ends_and_says_what_to_start(warehouse: Warehouse, tmp_path: Path) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    said = run(f"ip link set lo up; {WORKER} 2>&1; test $? = 2", warehouse, folder)
    assert "docker run -p 6379:6379 --name redis -d redis:7" in said


@pytest.mark.slow
def test_the_example_batch_runs_to_its_end(warehouse: Warehouse, tmp_path: Path) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    wait = (
        f"job=$({BATCH} | python -c 'import json,sys; print(json.load(sys.stdin)[\"job_id\"])')\n"
        "where=http://localhost:8000/api/v1/batch/status/$job\n"
        'until curl -s $where | grep -q \'"state":"completed"\'; do sleep 0.5; done; curl -s $where'
    )
    told = json.loads(run(SCRIPT.format(redis="", api=API, worker="", then=wait), warehouse, folder))
    assert (told["total"], told["done"], told["failed"]) == (9, 9, 0)
