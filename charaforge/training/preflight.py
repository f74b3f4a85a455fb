"""What a run will do, told and checked before the first step is spent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from charaforge.errors import DatasetError
from charaforge.training.dataset import Dataset
from charaforge.training.precision import dtype_name
from charaforge.training.reading import Reader
from charaforge.training.setup import Prepared
from charaforge.training.words import variant

_SHOWN = 4


def report(run: Prepared) -> Iterator[str]:
    """Yield the lines that tell what will be read, trained and written."""
    config, plan, dataset, bundle = run.config, run.plan, run.dataset, run.base.bundle
    told = f"{run.base.resolution} px, {bundle.schedule.prediction}, computed in {dtype_name(plan.dtype)}"
    yield f"base      {bundle.name}, {told}"
    counts = f"{len(dataset.train)} to train on, {len(dataset.held_out)} held out"
    yield f"pictures  {counts}, {len(dataset.left_out)} left out"
    yield from (f"          left out: {line}" for line in dataset.left_out)
    yield from (f"note      {line}" for line in (*run.base.notes, *dataset.notes))
    yield f"sizes     {_sizes(dataset)}"
    yield f"trigger   {dataset.character or '(none: no character is named)'}"
    reader = Reader(bundle, config)
    for sample in dataset.train[:_SHOWN]:
        count = reader.tokens(sample.caption.text())
        yield f"caption   {sample.path.name} ({count} tokens): {variant(config, sample, 0)}"
    epochs = config.max_train_steps * config.pictures_per_step / len(dataset.train)
    yield f"steps     {config.max_train_steps} of {config.pictures_per_step} pictures: {epochs:.1f} epochs"
    yield f"adapter   rank {config.rank}, alpha {config.network_alpha:g}"
    yield f"optimiser {plan.optimizer}, learning rate {config.learning_rate:g}, {config.lr_scheduler}"
    yield f"output    {config.output_dir}"
    yield from (f"warning   {line}" for line in plan.warnings)


def check_captions(run: Prepared) -> None:
    """Refuse captions of which the model would see only the beginning.

    Raises:
        DatasetError: more than `max_truncated_share` of them are longer than the text encoder reads.
        UsageError, PromptError: see `Reader`.
    """
    bundle, samples, limit = run.base.bundle, run.dataset.train, run.config.max_token_length
    reader = Reader(bundle, run.config)
    long = [sample for sample in samples if reader.is_cut_off(sample.caption.text())]
    if len(long) > run.config.max_truncated_share * len(samples):
        raise DatasetError(
            f"{len(long)} of {len(samples)} captions are longer than the {limit} tokens that "
            f"{bundle.name} reads, for example that of {long[0].path}",
            "shorten them, raise max_token_length (150, 225), or raise max_truncated_share to train on their "
            "beginnings",
        )


def _sizes(dataset: Dataset) -> str:
    sizes = Counter(sample.size for sample in (*dataset.train, *dataset.held_out))
    return ", ".join(f"{width}x{height} ({count})" for (width, height), count in sorted(sizes.items()))
