"""`Service`: every route of the REST service as a method."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError

from charaforge.client.answers import read_problem, tell
from charaforge.client.batches import Batches
from charaforge.errors import ServiceError
from charaforge.requests.answers import (
    Health,
    Inspection,
    JobReply,
    Lora,
    LoraReply,
    Model,
    Outputs,
    PictureReply,
    Ready,
    Scheduler,
    Upload,
)

Answer = TypeVar("Answer", bound=BaseModel)
Value = TypeVar("Value")

DEFAULT_URL = "http://localhost:8000"
PREFIX = "/api/v1"
POLL_S = 0.1
TIMEOUT = httpx.Timeout(10.0, read=660.0)  # a picture may take the ten minutes that the service waits


class Service:
    """The REST service, as a program sees it; use it as a context manager.

    Pictures are given by the names of their fields, e.g. `txt2img(prompt="…", steps=25, lora_ids=["a"])`.
    Every method raises ServiceError where the service refuses or cannot be reached.

    Args:
        url: where it is; by default `CHARAFORGE_API_URL`, else http://localhost:8000.
        token: its token; by default `API_TOKEN`.
        headers: sent with every request.
        transport: how requests travel; for tests.
    """

    def __init__(
        self,
        url: str = "",
        token: str | None = None,
        headers: dict[str, str] | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = (url or os.environ.get("CHARAFORGE_API_URL", "") or DEFAULT_URL).rstrip("/")
        known = os.environ.get("API_TOKEN", "").strip() if token is None else token
        sent = {**({"Authorization": f"Bearer {known}"} if known else {}), **(headers or {})}
        self._http = httpx.Client(
            base_url=self.url, headers=sent, timeout=TIMEOUT, transport=transport, trust_env=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def batches(self) -> Batches:
        """The methods about batches and workers."""
        return Batches(self)

    def close(self) -> None:
        """Let its connections go."""
        self._http.close()

    def health(self) -> Health:
        """Ask whether it answers."""
        return self._read(Health, self._get("/health"))

    def ready(self) -> Ready:
        """Ask whether it takes jobs."""
        return self._read(Ready, self._get("/ready"))

    def metrics(self) -> str:
        """Return its counters in Prometheus' text format."""
        return self._get("/metrics").text

    def txt2img(self, prompt: str, **fields: Any) -> PictureReply:
        """Render a picture from words."""
        return self._picture("/txt2img", prompt, fields)

    def img2img(self, prompt: str, image: str, **fields: Any) -> PictureReply:
        """Render a picture from words and a picture (an upload id, or a path that the service may read)."""
        return self._picture("/img2img", prompt, {"image": image, **fields})

    def inpaint(self, prompt: str, image: str, mask: str, **fields: Any) -> PictureReply:
        """Redraw what is white in the mask."""
        return self._picture("/inpaint", prompt, {"image": image, "mask": mask, **fields})

    def controlnet(
        self, kind: Literal["pose", "depth", "canny", "lineart"], prompt: str, **fields: Any
    ) -> PictureReply:
        """Render a picture along `pose_image`, `pose_keypoints` or `control_image`."""
        return self._picture(f"/controlnet/{kind}", prompt, fields)

    def submit(self, route: str, prompt: str, **fields: Any) -> JobReply:
        """Queue a picture and return at once.

        Args:
            route: "/txt2img", "/controlnet/pose", ….
            prompt: what to show.
            fields: as for the method of that route.
        """
        body = {"prompt": prompt, **fields}
        return self._read(JobReply, self._post(route, body, {"Prefer": "respond-async"}))

    def job(self, job_id: str) -> JobReply:
        """Ask how far a job is."""
        return self._read(JobReply, self._get(f"/jobs/{job_id}"))

    def wait(self, job_id: str, at_most_s: float = float("inf")) -> JobReply:
        """Return a job once it is done, or after `at_most_s` seconds as far as it is."""
        end_s = time.monotonic() + at_most_s
        while (job := self.job(job_id)).state in ("queued", "running", "paused"):
            if time.monotonic() >= end_s:
                break
            time.sleep(POLL_S)
        return job

    def cancel(self, job_id: str) -> JobReply:
        """Ask for a job to be stopped."""
        return self._read(JobReply, self._post(f"/jobs/{job_id}/cancel", None))

    def models(self, kind: str = "") -> list[Model]:
        """List the models, or those of a kind."""
        return self._read_list(Model, self._get("/models", {"kind": kind} if kind else None))

    def schedulers(self) -> list[Scheduler]:
        """List the schedulers."""
        return self._read_list(Scheduler, self._get("/schedulers"))

    def loras(self) -> list[Lora]:
        """List the LoRAs."""
        return self._read_list(Lora, self._get("/lora/list"))

    def load_lora(self, lora_id: str, model: str = "") -> LoraReply:
        """Keep a LoRA loaded."""
        body = {"lora_id": lora_id, **({"model": model} if model else {})}
        return self._read(LoraReply, self._post("/lora/load", body))

    def unload_lora(self, lora_id: str) -> LoraReply:
        """Free a LoRA."""
        return self._read(LoraReply, self._post("/lora/unload", {"lora_id": lora_id}))

    def upload(self, picture: Path) -> Upload:
        """Send a PNG, JPEG or WebP picture; requests name it by the `id` of the answer."""
        with picture.open("rb") as stream:
            answer = self._send("POST", "/uploads", files={"file": (picture.name, stream)})
        return self._read(Upload, answer)

    def inspect(self, image: str) -> Inspection:
        """Ask what a picture (upload id or path) says about its making."""
        return self._read(Inspection, self._post("/inspect", {"image": image}))

    def outputs(self, limit: int = 50) -> Outputs:
        """List the newest pictures."""
        return self._read(Outputs, self._get("/images", {"limit": limit}))

    def image(self, url: str) -> bytes:
        """Return a picture or sidecar by the `url` of `outputs`."""
        return self._get(url.removeprefix(PREFIX)).content

    def train(self, **fields: Any) -> JobReply:
        """Queue a training; `job` and `wait` tell how far it is."""
        return self._read(JobReply, self._post("/train", fields))

    def curate(self, folder: str, character: str, **fields: Any) -> JobReply:
        """Queue the curation of a folder of pictures."""
        return self._read(
            JobReply, self._post("/curate", {"folder": folder, "character": character, **fields})
        )

    def evaluate(self, lora: str, **fields: Any) -> JobReply:
        """Queue the evaluation of a LoRA."""
        return self._read(JobReply, self._post("/eval/report", {"lora": lora, **fields}))

    def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Ask a route."""
        return self._send(method, path, **more)

    def read(self, kind: type[Answer], answer: httpx.Response) -> Answer:
        """Return an answer as a model."""
        return self._read(kind, answer)

    @contextmanager
    def stream(self, path: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
        """Ask a route whose answer is read piece by piece."""
        try:
            with self._http.stream("GET", PREFIX + path, headers=headers) as answer:
                if answer.is_error:
                    answer.read()
                    raise tell(read_problem(answer.content, answer.status_code))
                yield answer
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def _picture(self, route: str, prompt: str, fields: dict[str, Any]) -> PictureReply:
        return self._read(PictureReply, self._post(route, {"prompt": prompt, **fields}))

    def _get(self, path: str, params: dict[str, Any] | None = None) -> httpx.Response:
        return self._send("GET", path, params=params)

    def _post(
        self, path: str, body: dict[str, Any] | None, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        return self._send("POST", path, json=body, headers=headers)

    def _send(self, method: str, path: str, **more: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, PREFIX + path, **more)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        if answer.is_error:
            raise tell(read_problem(answer.content, answer.status_code))
        return answer

    def _unreachable(self, error: httpx.HTTPError) -> ServiceError:
        return ServiceError(
            f"the service at {self.url} cannot be reached ({error})",
            "start it: uvicorn backend.main:app; or set CHARAFORGE_API_URL",
        )

    def _read(self, kind: type[Answer], answer: httpx.Response) -> Answer:
        return self._parse(TypeAdapter(kind), answer)

    def _read_list(self, kind: type[Answer], answer: httpx.Response) -> list[Answer]:
        return self._parse(TypeAdapter(list[kind]), answer)  # type: ignore[valid-type]

    def _parse(self, kind: TypeAdapter[Value], answer: httpx.Response) -> Value:
        try:
            return kind.validate_json(answer.content)
        except ValidationError as error:
            raise ServiceError(
                f"{answer.url} does not answer as CharaForge does", "is another program at this address?"
            ) from error
