"""The panel: words, LoRAs and a pose on the left, the picture and those before it on the right."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gradio as gr
from PIL import Image

from charaforge.client.service import Service
from charaforge.errors import ServiceError
from charaforge.requests.answers import JobReply
from charaforge.ui.web.fields import POLL_S, Choices, body_of, seed_of, told_of

Connect = Callable[[gr.Request], Service]
HISTORY = 12  # pictures
THEME = gr.themes.Default(
    primary_hue="indigo", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
)
CSS = """
.gradio-container { max-width: 1180px !important; margin: auto }
#head { padding: .2rem 0 }
#head h1 { margin: 0; font-size: 1.5rem }
#head p { margin: 0; opacity: .75 }
#picture { min-height: 420px }
#history .grid-container { grid-template-columns: repeat(6, 1fr) !important }
"""


def build(connect: Connect) -> Any:
    """Return the page (gradio.Blocks).

    Args:
        connect: opens the service for one call of a browser.
    """
    with gr.Blocks(title="CharaForge", analytics_enabled=False) as page:
        gr.Markdown("# CharaForge\nA character, in the pose and place you ask for.", elem_id="head")
        with gr.Row():
            with gr.Column(scale=5):
                inputs = _inputs()
                with gr.Row():
                    make = gr.Button("Make the picture", variant="primary", elem_id="make", scale=3)
                    stop = gr.Button("Stop", elem_id="stop", scale=1)
            with gr.Column(scale=6):
                picture = gr.Image(
                    label="Picture", format="png", elem_id="picture", interactive=False, buttons=["download"]
                )
                told = gr.Markdown("Ready.", elem_id="told")
                history = gr.Gallery(
                    label="Before", columns=6, height=200, elem_id="history", object_fit="cover"
                )
        job = gr.State("")
        _wire(page, connect, inputs, (picture, told, history, job), (make, stop))
    return page


def _inputs() -> dict[str, gr.components.Component]:
    """Draw the form; the keys are those of `Form`."""
    form: dict[str, gr.components.Component] = {}
    form["prompt"] = gr.Textbox(
        label="Prompt", lines=3, placeholder="1girl, blue hair, hoodie, looking at viewer", elem_id="prompt"
    )
    form["negative"] = gr.Textbox(label="Negative prompt", lines=1, placeholder="blurry, extra fingers")
    with gr.Row():
        form["loras"] = gr.Dropdown([], multiselect=True, label="LoRAs", elem_id="loras", scale=3)
        form["lora_scale"] = gr.Slider(
            0, 1.5, 1, step=0.05, label="LoRA weight", scale=2, elem_id="lora_scale"
        )
    with gr.Accordion("Pose", open=True):
        form["pose"] = gr.Image(
            label="A skeleton map, or a picture whose pose is taken over",
            type="filepath",
            sources=["upload", "clipboard"],
            height=220,
            elem_id="pose",
        )
        form["strength"] = gr.Slider(0, 2, 1, step=0.05, label="Strength of the pose")
    with gr.Accordion("Model, size and steps", open=False):
        with gr.Row():
            form["model"] = gr.Dropdown([], label="Model", elem_id="model")
            form["scheduler"] = gr.Dropdown([], label="Scheduler")
        with gr.Row():
            form["width"] = gr.Slider(64, 2048, 512, step=8, label="Width")
            form["height"] = gr.Slider(64, 2048, 512, step=8, label="Height")
        with gr.Row():
            form["steps"] = gr.Slider(1, 150, 20, step=1, label="Steps")
            form["guidance"] = gr.Number(
                None, label="Guidance (empty = the model’s own)", minimum=0.1, maximum=30
            )
            form["seed"] = gr.Number(-1, precision=0, label="Seed (−1 = random)")
    return form


def _wire(
    page: gr.Blocks,
    connect: Connect,
    form: dict[str, gr.components.Component],
    outputs: tuple[gr.Image, gr.Markdown, gr.Gallery, gr.State],
    buttons: tuple[gr.Button, gr.Button],
) -> None:
    """Say what happens on load and on the buttons."""
    picture, told, history, job = outputs
    names = list(form)

    def load(request: gr.Request) -> list[Any]:
        with connect(request) as service, _told_errors():
            choices = Choices.of(service)
            before = _pictures(service)
        return [
            gr.update(choices=choices.loras),
            gr.update(choices=choices.models, value=choices.default_model),
            gr.update(choices=choices.schedulers, value=choices.default_scheduler),
            before,
        ]

    def render(request: gr.Request, *values: Any) -> Iterator[list[Any]]:
        with connect(request) as service, _told_errors():
            yield [gr.skip(), "Waiting …", gr.skip(), ""]
            route, body = body_of(dict(zip(names, values, strict=True)), service)
            reply = service.submit(route, **body)
            while reply.state in ("queued", "running"):
                yield [gr.skip(), told_of(reply), gr.skip(), reply.job_id]
                reply = service.wait(reply.job_id, at_most_s=POLL_S)
            made = _result(service, reply)
            told = told_of(reply, None if made is None else seed_of(made.info))
            yield [gr.skip() if made is None else made, told, _pictures(service), ""]

    def weigh(request: gr.Request, chosen: list[str]) -> Any:
        if len(chosen) != 1:
            return gr.skip()
        with connect(request) as service, _told_errors():
            weights = {lora.name: lora.weight for lora in service.loras()}
        return weights.get(chosen[0], gr.skip())

    def halt(request: gr.Request, job_id: str) -> None:
        with connect(request) as service, _told_errors():
            if job_id:
                service.cancel(job_id)

    make, stop = buttons
    page.load(load, None, [form["loras"], form["model"], form["scheduler"], history])
    loras = form["loras"]
    assert isinstance(loras, gr.Dropdown)
    loras.input(weigh, [loras], [form["lora_scale"]], show_progress="hidden")
    make.click(render, list(form.values()), [picture, told, history, job], show_progress="hidden")
    stop.click(halt, [job], None, show_progress="hidden")


@contextmanager
def _told_errors() -> Iterator[None]:
    """Show what the service refuses as a message on the page."""
    try:
        yield
    except ServiceError as error:
        raise gr.Error(str(error), print_exception=False) from None


def _result(service: Service, job: JobReply) -> Image.Image | None:
    return _decoded(service.image(job.result.url)) if job.result is not None else None


def _pictures(service: Service) -> list[Image.Image]:
    return [_decoded(service.image(output.url)) for output in service.outputs(HISTORY).images]


def _decoded(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
        image.load()
        return image
