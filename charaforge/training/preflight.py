"""What a run will do, told and checked before the first step is spent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from charaforge.diffusion.bundle import Bundle
from charaforge.errors import DatasetError
from charaforge.training.dataset import Dataset, Sample
from charaforge.training.materials import variant
from charaforge.training.precision import dtype_name
from charaforge.training.setup import Prepared

_SHOWN = 4


def report(run: Prepared) -> Iterator[str]:
    """Yield the lines that tell what will be read, trained and written."""
    config, plan, dataset, bundle = run.config, run.plan, run.dataset, run.base.bundle
    told = f"{run.base.resolution} px, {bundle.schedule.prediction}, computed in {dtype_name(plan.dtype)}"
    yield f"base      {bundle.name}, {told}"
    counts = f"{len(dataset.train)} to train on, {len(dataset.held_out)} held out"
    yield f"pictures  {counts}, {len(dataset.left_out)} left out"
    yield from (f"          left out: {line}" for line in dataset.left_out)
    yield from (f"note      {line}" for line in dataset.notes)
    yield f"sizes     {_sizes(dataset)}"
    yield f"trigger   {dataset.character or '(none: no character is named)'}"
    for sample in dataset.train[:_SHOWN]:
        count = token_count(bundle, sample)
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
    """
    bundle, samples = run.base.bundle, run.dataset.train
    limit = bundle.tokenizers[0].model_max_length
    long = [sample for sample in samples if token_count(bundle, sample) > limit]
    if len(long) > run.config.max_truncated_share * len(samples):
        raise DatasetError(
            f"{len(long)} of {len(samples)} captions are longer than the {limit} tokens that "
            f"{bundle.name} reads, for example that of {long[0].path}",
            "shorten them, or raise max_truncated_share to train on their beginnings",
        )


def token_count(bundle: Bundle, sample: Sample) -> int:
    """Return the number of tokens of a caption, with those for start and end."""
    return len(bundle.tokenizers[0](sample.caption.text()).input_ids)


def _sizes(dataset: Dataset) -> str:
    sizes = Counter(sample.size for sample in (*dataset.train, *dataset.held_out))
    return ", ".join(f"{width}x{height} ({count})" for (width, height), count in sorted(sizes.items()))
