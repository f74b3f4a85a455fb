"""MODEL_CARD.md: what a LoRA was made from, what it is for, where it ends."""

from __future__ import annotations

from pathlib import Path

from charaforge.training.checkpoint import RunState
from charaforge.training.precision import dtype_name
from charaforge.training.setup import Prepared

_TEXT = """\
# {title}

A LoRA for {base}. Its trigger is `{trigger}`.

## Use
Put `{title}.safetensors` where your program looks for LoRAs (the format is kohya's; A1111, ComfyUI,
diffusers and CharaForge read it) and write the trigger first in the prompt: `{example}`

## Sources
{train} pictures were trained on, {held_out} held out for the validation loss, from `{source}`.
The owner of the pictures decides whether this LoRA may be shared; write the answer here: …

## Purpose
Pictures of the character `{trigger}` in new poses, clothes and places.

## Limits
It works with {base} and models derived from it, and with no other family. It has seen {train} pictures at
{resolution} px: what they do not show it has to guess. How much the results look like the character has not
been measured by the training; `charaforge eval` does that.

## Training
| | |
|---|---|
| base | {base}, sha256 {base_hash} |
| steps | {steps}, ended by: {ended}; the weights are those of step {chosen} |
| pictures per step | {batch} |
| rank, alpha | {rank}, {alpha:g} |
| learning rate | {rate:g}, {scheduler} |
| computed in | {dtype} |
| seed | {seed} |
| validation loss | {loss} |

All settings stand in `resolved_config.yaml`, the loss of every step in `events.jsonl`.

## Licence
The base model's licence: {license}. Licence of this LoRA: …
"""


def model_card(run: Prepared, state: RunState, chosen: int) -> str:
    """Return the model card of a finished run, as Markdown.

    Args:
        run: what was trained.
        state: the state at the end.
        chosen: the step whose weights the LoRA has.
    """
    config, base, dataset = run.config, run.base, run.dataset
    early = "an early stop, because the validation loss no longer fell"
    best = (
        f"{state.best_loss:.4f} at its lowest, good until step {state.best_step}"
        if state.best_loss
        else "not measured"
    )
    return _TEXT.format(
        title=config.lora_id,
        base=base.bundle.name,
        base_hash=base.bundle.sha256[:12],
        trigger=dataset.character or "(none)",
        example=dataset.train[0].caption.text(),
        train=len(dataset.train),
        held_out=len(dataset.held_out),
        source=(config.dataset_meta or config.train_data_dir or Path()).name,
        resolution=base.resolution,
        steps=state.step,
        ended=early if state.ended == "early stop" else "the number that was planned",
        chosen=chosen,
        batch=config.pictures_per_step * run.processes.count,
        rank=config.rank,
        alpha=config.network_alpha,
        rate=config.learning_rate,
        scheduler=config.lr_scheduler,
        dtype=dtype_name(run.plan.dtype),
        seed=config.seed,
        loss=best,
        license=base.license or "see its card",
    )
