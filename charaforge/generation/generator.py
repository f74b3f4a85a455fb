"""Renders requests: models by name, prompts and pictures one at a time, denoising in micro-batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from PIL import Image

from charaforge.config.settings import safety_filter
from charaforge.errors import BlockedError, CharaForgeError
from charaforge.generation.denoise import OnStep
from charaforge.generation.heap import keep_freed_memory
from charaforge.generation.input_files import InputFiles
from charaforge.generation.inversions import Inversions
from charaforge.generation.memory import SINGLES, MemoryLadder, apply_rung, only, ran_out, starting_rung
from charaforge.generation.micro_batches import MicroBatch, micro_batches, runs
from charaforge.generation.models import LoadedBase, LoadedUpscaler, ModelShelf
from charaforge.generation.painting import TICKS, Draft, Job, paint
from charaforge.generation.picture_inputs import named_by_content, read_inputs
from charaforge.generation.provenance import GeneratedImage, Made, Setting, describe_image
from charaforge.generation.sizes import RenderSize, hires_size, render_size
from charaforge.generation.tools import LoadedTool, ToolShelf
from charaforge.generation.wording import PromptCache, WordEncoder
from charaforge.logs import get_logger
from charaforge.requests.generation import GenerationRequest
from charaforge.requests.grammar import escape
from charaforge.requests.inputs import LANCZOS, LATENT_UPSCALE
from charaforge.requests.placeholders import fill_placeholders
from charaforge.requests.prompts import settle
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.registry import Registry

logger = get_logger(__name__)

Pair = tuple[GenerationRequest, GenerationRequest]  # as asked, and with its words settled

UPSCALER = "mini-upscaler"  # where a card names none


def _ignore(done: int, total: int) -> None:
    """Take no notice of progress."""


@dataclass(frozen=True)
class Way:
    """How to render, where it shall be as it was before.

    Attributes:
        micro_batch: size of the micro-batches; None = as it pays.
        rung: of the memory ladder to begin on; None = as the free memory calls for.
    """

    micro_batch: int | None = None
    rung: int | None = None


class Generator:
    """Renders pictures; it keeps its models between calls and is used by one thread at a time.

    Args:
        warehouse: where the models are.
        registry: finds them by name; by default that of the warehouse.
        device: where to render; by default a CUDA device where there is one, else the CPU.
        safety: whether a safety checker looks at every picture before it is given out: True for the one that
            is in the registry, or its name; by default as `API_SAFETY` says.
    """

    def __init__(
        self,
        warehouse: Warehouse,
        registry: Registry | None = None,
        device: torch.device | str | None = None,
        safety: bool | str | None = None,
    ) -> None:
        self._safety = safety_filter() if safety is None else safety
        chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._warehouse = warehouse
        self._device = torch.device(chosen)
        if self._device.type == "cpu":
            keep_freed_memory()
        found = registry or Registry(warehouse)
        self._registry = found
        self._models = ModelShelf(found, self._device)
        self._tools = ToolShelf(found)
        self._files = InputFiles(warehouse)
        self._inversions = Inversions(found)
        self._prompts = PromptCache()

    def generate(self, request: GenerationRequest, on_step: OnStep = _ignore) -> list[GeneratedImage]:
        """Render all pictures of one request, see `generate_many`."""
        return list(self.generate_many([request], on_step))

    def generate_many(
        self, requests: Sequence[GenerationRequest], on_step: OnStep = _ignore, way: Way | None = None
    ) -> Iterator[GeneratedImage]:
        """Render requests and yield their pictures in order, each as soon as it is finished.

        Neighbours that fit together (see `micro_batches`) are rendered together, so sort them if you can.

        Args:
            requests: what to render; a random seed is drawn first and recorded.
            on_step: called after every step with (steps done, steps in all), counted per picture; it stops
                the work by raising.
            way: how to render it; by default as it pays and as memory allows.

        Raises:
            UnknownNameError: a model or LoRA is not there.
            UsageError: an input file is missing or of no use, a prompt cannot be read.
            ModelFileError: a model or LoRA cannot be loaded, or does not fit.
            GenerationError: the model gave no usable picture, or memory ran out.
            BlockedError: the safety checker does not let a picture through; those before it were yielded.
        """
        singles = [single for request in requests for single in self._complete(request).singles()]
        progress = _Progress(on_step, total=sum(single.steps for single in singles))
        pairs = [(single, settle(single, self._warehouse.wildcards)) for single in singles]
        for run in runs(pairs, lambda pair: pair[1]):
            yield from self._run(run, progress, way or Way())

    def follow_pins(self) -> Mapping[str, CharaForgeError]:
        """Load the LoRAs that are pinned in the warehouse, and free those that no longer are.

        Returns:
            Names of LoRAs that could not be loaded, with the reason.
        """
        return self._models.follow_pins()

    def _complete(self, request: GenerationRequest) -> GenerationRequest:
        """Return the request with seeds drawn, and guided as its model likes it where it does not say."""
        return request.seeded().guided(self._registry.get(request.model, "base").card.get("guidance"))

    def _run(self, run: Sequence[Pair], progress: _Progress, way: Way) -> Iterator[GeneratedImage]:
        """Render requests that fit together."""
        setting = self._prepare(run[0][1])
        rung = way.rung
        if rung is None:
            rung = starting_rung(setting.base.bundle, setting.size.width, setting.size.height)
        ladder = MemoryLadder(rung)
        apply_rung(setting.base.bundle, ladder.rung)
        drafts = self._drafts(run, setting, ladder.rung)
        for drafted in micro_batches(drafts, lambda draft: draft.words.length, way.micro_batch):
            batch = MicroBatch(tuple(self._job(draft, setting) for draft in drafted.items), drafted.size)
            report = progress.of(sum(job.asked.steps for job in batch.items))
            for image, job, size, used in self._paint(setting, batch, ladder, report):
                self._check(image)
                request = named_by_content(job.asked, job.inputs.names)
                embeddings = self._inversions.sha256s(job.rendered)
                made = Made(image, request, job.rendered, size, used, job.inputs.tools, embeddings)
                yield describe_image(made, setting)
            progress.done += sum(job.asked.steps for job in batch.items)

    def _paint(
        self, setting: Setting, batch: MicroBatch[Job], ladder: MemoryLadder, report: OnStep
    ) -> Iterator[tuple[Image.Image, Job, int, int]]:
        """Render a micro-batch; where memory runs out, again what is left of it, one rung further up.

        Yields:
            Each picture with its job, the size of the micro-batch it was rendered in, and the rung.
        """
        pending = [batch]
        while pending:
            part = pending.pop(0)
            if ladder.rung >= SINGLES and part.size > 1:
                pending[:0] = [MicroBatch((job,), 1) for job in part.items]
                continue
            apply_rung(setting.base.bundle, ladder.rung)
            images = paint(setting, part, ladder.rung, report)
            for place, job in enumerate(part.items):
                try:
                    image = next(images)
                except RuntimeError as error:
                    if not ran_out(error):
                        raise
                    ladder.climb(error)
                    pending.insert(0, MicroBatch(part.items[place:], part.size))
                    break
                yield image, job, part.size, ladder.rung

    def _check(self, image: Image.Image) -> None:
        """Raise BlockedError where the safety checker, if it is on, sees what it does not let through."""
        if not self._safety:
            return
        checker = self._tools.safety(self._safety if isinstance(self._safety, str) else None)
        concepts = checker.net.check(image)
        if concepts:
            raise BlockedError(
                f"the safety filter {checker.name!r} saw {', '.join(concept.name for concept in concepts)}",
                "change the prompt; whoever runs this can turn the filter off (API_SAFETY=off)",
            )

    def _prepare(self, request: GenerationRequest) -> Setting:
        """Load what a run needs."""
        base = self._models.base(request.model, request.vae)
        loras = base.loras.use(request.loras)
        size = _size(request, base)
        between = None
        if size.first and request.hires and request.hires.upscaler not in (LATENT_UPSCALE, LANCZOS):
            between = self._models.upscaler(request.hires.upscaler)
        upscaler = None
        cut_out = request.init is not None and request.init.area == "masked" and "max_side" in base.card
        if size.enlarged or cut_out:
            upscaler = self._upscaler(base)
        controls = tuple(
            self._tools.controlnet(control.model, control.type, base.bundle, base.card)
            if control.strength
            else None
            for control in request.controls
        )
        return Setting(base, loras, size, upscaler, between, controls, self._adapters(request, base))

    def _upscaler(self, base: LoadedBase) -> LoadedUpscaler:
        return self._models.upscaler(str(base.card.get("upscaler", UPSCALER)))

    def _adapters(self, request: GenerationRequest, base: LoadedBase) -> tuple[LoadedTool | None, ...]:
        return tuple(
            self._tools.ip_adapter(
                reference.model, "face" if reference.face_ref else "style", base.bundle, base.card
            )
            if reference.weight
            else None
            for reference in request.references
        )

    def _drafts(self, run: Sequence[Pair], setting: Setting, rung: int) -> list[Draft]:
        """Fill the placeholders of a run and encode its prompts."""
        values: dict[str, str] = {}
        for lora in reversed(setting.loras):  # the first LoRA that knows a placeholder fills it
            values |= lora.file.placeholders
        filled = [(asked, _filled(settled, values)) for asked, settled in run]
        encoder = WordEncoder(
            setting.base.bundle,
            run[0][1].clip_skip,
            self._inversions.of([request for _, request in filled]),
            self._prompts,
            acting=tuple(
                (lora.file.sha256, lora.use.te_weight, lora.use.weight, str(lora.use.blocks))
                for lora in setting.loras
            ),
        )
        drafts = []
        with only(setting.base.bundle, "text_encoders", rung):
            for asked, request in filled:
                drafts.append(Draft(asked, request, encoder.words(request.prompt, request.negative)))
        return drafts

    def _job(self, draft: Draft, setting: Setting) -> Job:
        """Read the inputs of a picture."""
        inputs = read_inputs(draft.rendered, setting, self._files, self._tools)
        return Job(draft.asked, draft.rendered, draft.words, inputs)


@dataclass
class _Progress:
    """Counts steps over all micro-batches."""

    report: OnStep
    total: int
    done: int = field(default=0)

    def of(self, share: int) -> OnStep:
        """Return what to call within a micro-batch that stands for `share` steps."""
        return lambda ticks, _: self.report(self.done + share * ticks // TICKS, self.total)


def _size(request: GenerationRequest, base: LoadedBase) -> RenderSize:
    if request.hires is None:
        return render_size(request.width, request.height, base.card)
    return hires_size(request.width, request.height, base.card, request.hires.scale)


def _filled(request: GenerationRequest, values: dict[str, str]) -> GenerationRequest:
    """Return the request with its placeholders filled or dropped, the latter with a warning.

    What fills them is text, as it was in the captions: a name with brackets keeps them.
    """
    plain = {name: escape(text) for name, text in values.items()}
    prompt, lost = fill_placeholders(request.prompt, plain)
    negative, lost_too = fill_placeholders(request.negative, plain)
    for name in dict.fromkeys(lost + lost_too):
        logger.warning("[%s] is left out of the prompt: no LoRA of the request knows it", name)
    return request.model_copy(update={"prompt": prompt, "negative": negative})
