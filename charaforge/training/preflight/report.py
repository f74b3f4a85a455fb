"""The report of what a run will read, train and write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from charaforge.training.batches import Deck
from charaforge.training.buckets import cut_off
from charaforge.training.dataset import Dataset
from charaforge.training.precision import dtype_name
from charaforge.training.preflight.captions import caption_lines
from charaforge.training.preflight.memory import memory_lines
from charaforge.training.setup import Prepared

_MUCH = 0.2
_MOST_LINES = 20


def report(run: Prepared, memory: int | None = None, *, estimate: bool = False) -> Iterator[str]:
    """Yield the lines that tell what will be read, trained and written.

    Args:
        run: what is planned.
        memory: bytes of the GPU's memory that it has to fit into, where there is one.
        estimate: whether the memory is estimated, which takes some seconds for a large model.
    """
    config, plan, dataset, bundle = run.config, run.plan, run.dataset, run.base.bundle
    told = f"{run.base.resolution} px, {bundle.schedule.prediction}, computed in {dtype_name(plan.dtype)}"
    yield f"base      {bundle.name}, {told}"
    yield from _picture_lines(dataset)
    yield from (f"note      {line}" for line in (*run.base.notes, *dataset.notes))
    yield from _size_lines(dataset)
    yield f"trigger   {dataset.character or '(none: no character is named)'}"
    yield from caption_lines(run)
    yield from _step_lines(run)
    yield f"adapter   rank {config.rank}, alpha {config.network_alpha:g}"
    yield f"optimiser {plan.optimizer}, learning rate {config.learning_rate:g}, {config.lr_scheduler}"
    yield f"output    {config.output_dir}"
    if estimate:
        yield from memory_lines(run, memory)
    yield from (f"warning   {line}" for line in plan.warnings)


def _picture_lines(dataset: Dataset) -> Iterator[str]:
    prior = sum(sample.prior for sample in dataset.train)
    counts = f"{len(dataset.train) - prior} to train on, {len(dataset.held_out)} held out"
    more = f", {prior} for regularisation" if prior else ""
    yield f"pictures  {counts}{more}, {len(dataset.left_out)} left out"
    yield from (f"          left out: {line}" for line in dataset.left_out[:_MOST_LINES])
    if len(dataset.left_out) > _MOST_LINES:
        yield f"          and {len(dataset.left_out) - _MOST_LINES} more"
    masks = sum(sample.mask is not None for sample in dataset.train)
    if masks:
        yield f"masks     {masks} pictures have one"


def _size_lines(dataset: Dataset) -> Iterator[str]:
    """Yield the buckets, and how many pictures lose much by being cut."""
    sizes = Counter(sample.size for sample in dataset.train)
    told = ", ".join(f"{width}x{height} ({count})" for (width, height), count in sorted(sizes.items()))
    yield f"sizes     {told}"
    much = sum(cut_off(sample.original, sample.size) > _MUCH for sample in dataset.train)
    if much:
        yield f"warning   {much} pictures lose more than {_MUCH:.0%} of their area by being cut"
    small = sum(s.original[0] * s.original[1] * 2 < s.size[0] * s.size[1] for s in dataset.train)
    if small:
        yield f"warning   {small} pictures are enlarged to over twice their area; upscale: false avoids it"


def _step_lines(run: Prepared) -> Iterator[str]:
    config = run.config
    length = Deck.of(run.dataset.train).epoch_length
    pictures = config.pictures_per_step * run.processes.count
    epochs = config.max_train_steps * pictures / length
    yield f"epoch     {length} pictures, {length / pictures:.1f} steps"
    yield f"steps     {config.max_train_steps} of {pictures} pictures: {epochs:.1f} epochs"
