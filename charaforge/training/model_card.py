"""MODEL_CARD.md: what a LoRA was made from, what it is for, where it ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from charaforge.training.checkpoint import RunState
from charaforge.training.config import TrainingConfig
from charaforge.training.precision import dtype_name
from charaforge.training.setup import Prepared

_TEXT = """\
# {title}

A {kind} for {base} ({family}). Its trigger is `{trigger}`.{comment}

## Use
Put `{title}.safetensors` where your program looks for LoRAs and write the trigger first in the prompt:
`{example}`

{readers} Weights from 0.6 to 1.2 are usual.

## Sources
{train} pictures were trained on{prior}, {held_out} held out for the validation loss, from `{source}`.
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
{rows}

All settings stand in `resolved_config.yaml`, the loss of every step in `events.jsonl`.

## Licence
| | |
|---|---|
| of the base | {base_license} |
| of this LoRA | {license} |
| made by | {author} |
"""
_ALL = "The format is kohya's: A1111, ComfyUI, diffusers and CharaForge read it."
_DORA = """\
The format is kohya's with `dora_scale`. CharaForge and programs that use LyCORIS read it as it was trained;
ComfyUI and Forge divide by the lengths of the base's rows, which is a slightly different strength; diffusers
leaves the lengths out. `charaforge lora merge --into` is exact for all of them, and so is
`charaforge lora convert --to diffusers` of the UNet's part."""
_LYCORIS = """\
The format is LyCORIS': A1111, ComfyUI and CharaForge read it; for diffusers make a plain LoRA of it first
with `charaforge lora resize`."""
_FAMILIES = {"sd15": "SD1.x", "sdxl": "SDXL"}
_PARTS = {"unet": "UNet", "text_encoder": "text encoder", "text_encoder_2": "second text encoder"}


def model_card(run: Prepared, state: RunState, chosen: int) -> str:
    """Return the model card of a finished run, as Markdown.

    Args:
        run: what was trained.
        state: the state at the end.
        chosen: the step whose weights the LoRA has.
    """
    config, base, dataset = run.config, run.base, run.dataset
    prior = sum(sample.prior for sample in dataset.train)
    return _TEXT.format(
        title=config.lora_id,
        kind=kind_of(config),
        base=base.bundle.name,
        family=_FAMILIES[base.bundle.family],
        trigger=dataset.character or "(none)",
        comment=f"\n\n{config.comment}" if config.comment else "",
        example=dataset.train[0].caption.text(),
        readers=_readers(config),
        train=len(dataset.train) - prior,
        prior=f" beside {prior} of the regularisation set" if prior else "",
        held_out=len(dataset.held_out),
        source=(config.dataset_meta or config.train_data_dir or Path()).name,
        resolution=base.resolution,
        rows="\n".join(f"| {name} | {value} |" for name, value in _rows(run, state, chosen)),
        base_license=base.license or "see its card",
        license=config.license or "…",
        author=config.author or "…",
    )


def kind_of(config: TrainingConfig) -> str:
    """Return what the adapter is called: LoRA, LoCon, DoRA, LoHa or LoKr."""
    if config.network_type != "lora":
        return {"loha": "LoHa", "lokr": "LoKr"}[config.network_type]
    plain = "LoCon" if config.network_conv_rank else "LoRA"
    return "DoRA" if config.use_dora else plain


def _readers(config: TrainingConfig) -> str:
    if config.use_dora:
        return _DORA
    return _ALL if config.network_type == "lora" else _LYCORIS


def _rows(run: Prepared, state: RunState, chosen: int) -> Iterator[tuple[str, str]]:
    config, base = run.config, run.base
    yield "base", f"{base.bundle.name}, sha256 {base.bundle.sha256[:12]}"
    yield "predicts", base.bundle.schedule.prediction
    yield "steps", f"{state.step}, ended by: {_ending(state)}; the weights are those of step {chosen}"
    yield "pictures per step", str(config.pictures_per_step * run.processes.count)
    parts = [
        part for part in config.trained_parts if part != "text_encoder_2" or base.bundle.family == "sdxl"
    ]
    yield "trained parts", ", ".join(_PARTS[part] for part in parts)
    yield "rank, alpha", f"{config.rank}, {config.network_alpha:g}{' (rsLoRA)' if config.use_rslora else ''}"
    if config.network_conv_rank:
        yield "rank, alpha of convolutions", f"{config.network_conv_rank}, {config.network_conv_alpha:g}"
    yield "learning rate", f"{config.learning_rate:g}, {config.lr_scheduler}, {run.plan.optimizer}"
    if parts != ["unet"]:
        yield "learning rate of words", f"{config.text_learning_rate:g}"
    if config.ema_decay:
        yield "running mean", f"decay {config.ema_decay:g}; the LoRA is the mean"
    yield "computed in", dtype_name(run.plan.dtype)
    yield "seed", str(config.seed)
    yield "validation loss", _validation(state)


def _ending(state: RunState) -> str:
    early = "an early stop, because the validation loss no longer fell"
    return early if state.ended == "early stop" else "the number that was planned"


def _validation(state: RunState) -> str:
    if not state.best_loss:
        return "not measured"
    return f"{state.best_loss:.4f} at its lowest, good until step {state.best_step}"
