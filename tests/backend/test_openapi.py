"""Every route, asked all that its OpenAPI allows and more, by a renderer that is fast and deterministic.

The jobs are real Celery tasks; only the generator inside them is another.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings
from PIL import Image
from schemathesis import checks
from schemathesis.openapi import from_asgi
from schemathesis.specs.openapi import checks as openapi

from charaforge.generation.provenance import GeneratedImage
from charaforge.requests.generation import GenerationRequest
from charaforge.warehouse.layout import Warehouse
from tests.backend.conftest import URL

# schemathesis leaves the streams of its own test client to the garbage collector
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

API = "/api/v1"
CHECKS = (
    checks.not_a_server_error,
    openapi.status_code_conformance,
    openapi.content_type_conformance,
    openapi.response_schema_conformance,
)


class Painter:
    """Paints a colour that the request decides."""

    def follow_pins(self) -> dict[str, Any]:
        return {}

    def generate_many(
        self, requests: list[GenerationRequest], on_step: Any, way: Any
    ) -> list[GeneratedImage]:
        (request,) = requests
        on_step(1, 1)
        colour = (request.steps, request.width % 256, request.height % 256)
        image = Image.new("RGB", (8, 8), colour)
        return [GeneratedImage(image, request, {"request": request.plain()}, {"memory_rung": 0}, "")]


class Local:
    """Passes requests on as if they came from this machine; its app has been started already."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for part in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{part}.complete"})
            return
        if scope["type"] == "http":
            others = [pair for pair in scope["headers"] if pair[0] != b"host"]
            scope = {**scope, "client": ("127.0.0.1", 1), "headers": [*others, (b"host", b"localhost")]}
        await self._app(scope, receive, send)


@pytest.fixture
def schema(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr("backend.jobs.models.ModelRenderer.generator", lambda self: Painter())
    yield from running_service()


@pytest.fixture
def schema_of_mini(warehouse: Warehouse) -> Iterator[Any]:
    yield from running_service()


def running_service() -> Iterator[Any]:
    from backend.main import create_app

    app = create_app()
    with TestClient(app, URL, client=("127.0.0.1", 1)):
        yield from_asgi(f"{API}/openapi.json", Local(app))
    gc.collect()  # so that the streams go while their warnings are ignored


def ask(operation: Any, count: int, prepare: Callable[[Any], None] = lambda case: None) -> Counter[int]:
    """Ask one route `count` times; return how often it gave each status."""
    answers: Counter[int] = Counter()

    @settings(
        max_examples=count,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def inner(case: Any) -> None:
        prepare(case)
        answer = case.call()
        answers[answer.status_code] += 1
        case.validate_response(answer, checks=CHECKS)
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == ["application/problem+json"], answer.content

    inner()
    return answers


def ask_all(schema: Any, count: int) -> int:
    operations = operations_of(schema)
    assert len(operations) >= 18
    return sum(ask(operation, count).total() for operation in operations)


def operations_of(schema: Any) -> list[Any]:
    return [found.ok() for found in schema.get_all_operations()]


def test_no_route_breaks_or_answers_what_it_does_not_document(schema: Any) -> None:
    assert ask_all(schema, 11) >= 150


@pytest.mark.slow
def test_2000_cases_and_chains_of_them(schema: Any) -> None:
    assert ask_all(schema, 170) >= 2000

    class Chains(schema.as_state_machine()):
        def validate_response(self, response: Any, case: Any, *_: Any, **__: Any) -> None:
            case.validate_response(response, checks=CHECKS)

    Chains.run(
        settings=settings(
            max_examples=40,
            stateful_step_count=8,
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
    )


@pytest.mark.slow
def test_50_pictures_of_the_mini_model_whatever_else_is_asked(
    schema_of_mini: Any, warehouse: Warehouse
) -> None:
    picture = warehouse.uploads / "picture.png"
    picture.parent.mkdir(parents=True, exist_ok=True)
    Image.radial_gradient("L").convert("RGB").save(picture)
    drawing = [one for one in operations_of(schema_of_mini) if one.method == "post" and draws(one.path)]
    assert len(drawing) == 5
    answers = sum((ask(one, 60, lambda case: draw_from(case, picture)) for one in drawing), Counter())
    assert answers[200] >= 50, answers


def draw_from(case: Any, picture: Path) -> None:
    """Put a picture that is there, and a sampler that is known, in the place of made-up ones."""
    if "kind" in (case.path_parameters or {}):
        case.path_parameters["kind"] = "depth"
    if not isinstance(case.body, dict):
        return
    for name in ("image", "mask", "control_image", "pose_image"):
        if name in case.body:
            case.body[name] = str(picture)
    case.body.update(scheduler="euler_a", steps=min(4, case.body.get("steps") or 4))
    for name in ("model", "vae", "control_model", "controls", "ip_adapter", "hires"):
        case.body.pop(name, None)


def draws(path: str) -> bool:
    return path.rsplit("/", 1)[-1] in ("txt2img", "img2img", "inpaint") or "/controlnet/" in path


def test_the_mission_s_bodies_are_the_examples(schema: Any) -> None:
    bodies = schema.raw_schema["components"]["schemas"]
    full = bodies["Txt2ImgBody"]["examples"][1]
    assert full["ip_adapter"] == {"face_ref": "/abs/path/face.png", "weight": 0.7}
    assert bodies["PoseBody"]["examples"][0]["pose_image"] == "/abs/path/pose.png"
    for path, operations in schema.raw_schema["paths"].items():
        for operation in operations.values():
            problems = [status for status in operation["responses"] if int(status) >= 400 and status != "416"]
            assert problems or path == "/health", path
            for status in problems:
                assert "application/problem+json" in operation["responses"][status]["content"], (path, status)
