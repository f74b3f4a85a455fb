"""`charaforge lora`: look into LoRA files, convert, resize, merge and extract them."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charaforge.cli.lora_arguments import add_actions
from charaforge.errors import ExitCode, ModelFileError, UsageError
from charaforge.warehouse.bootstrap import bootstrap

if TYPE_CHECKING:
    import torch

    from charaforge.diffusion.bundle import Bundle
    from charaforge.diffusion.lora_format import LoraFile
    from charaforge.diffusion.lora_names import LoraTarget
    from charaforge.diffusion.lora_tools.low_rank import RankChoice
    from charaforge.diffusion.lora_tools.merge import Ingredient

NAME = "lora"
HELP = "look into LoRA files, convert, resize, merge and extract them"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    add_actions(parser)


def run(args: argparse.Namespace) -> int:
    """Do what was asked for; print what there is now."""
    bootstrap()
    actions = {"info": _info, "convert": _convert, "resize": _resize, "merge": _merge, "extract": _extract}
    if args.action != "info":
        _check_out(args.out, args.force)
    actions[args.action](args)
    return ExitCode.PASS


def _info(args: argparse.Namespace) -> None:
    from charaforge.cli.lora_report import report
    from charaforge.diffusion.lora_tools.info import describe_file

    path = _lora_path(args.lora)
    told = describe_file(path, _opened(path))
    print(json.dumps(told, indent=2, ensure_ascii=False) if args.json else report(told, args.layers))


def _convert(args: argparse.Namespace) -> None:
    from charaforge.diffusion.lora_tools.convert import convert

    lora = _opened(_lora_path(args.lora))
    convert(lora, _model(lora, args.base), args.out, args.to, _dtype(args.precision))
    print(f"{len(lora.layers)} layers in keys of {args.to}: {args.out}")


def _resize(args: argparse.Namespace) -> None:
    from charaforge.diffusion.lora_format import write_lora
    from charaforge.diffusion.lora_tools.headers import resized_header
    from charaforge.diffusion.lora_tools.resize import resize

    lora = _opened(_lora_path(args.lora))
    done = resize(lora.layers, _model(lora, args.base), _choice(args))
    write_lora(args.out, done.layers, resized_header(lora.metadata, done), _dtype(args.precision))
    ranks = sorted(done.ranks)
    worst = max(done.lost, key=lambda name: done.lost[name])
    print(f"ranks:  {ranks[0]} to {ranks[-1]}, mean {sum(ranks) / len(ranks):.1f}")
    print(f"lost:   {done.error:.2%} of the change; most in {worst}, {done.lost[worst]:.2%}")
    print(f"LoRA:   {args.out}")


def _merge(args: argparse.Namespace) -> None:
    from charaforge.diffusion.lora_format import write_lora
    from charaforge.diffusion.lora_tools.headers import merged_header
    from charaforge.diffusion.lora_tools.merge import merge

    ingredients = [_ingredient(word) for word in args.loras]
    if args.into:
        _merge_into(args, ingredients)
        return
    if len(ingredients) < 2:
        raise UsageError("one LoRA alone cannot be merged", "give more, or --into MODEL")
    first = ingredients[0].lora
    done = merge(ingredients, _model(first, args.base), _choice(args) if args.rank else None)
    header = merged_header(
        args.out.stem, [(each.lora, each.strength.unet) for each in ingredients], done.layers
    )
    write_lora(args.out, done.layers, header, _dtype(args.precision))
    print(f"layers: {len(done.layers)}, ranks up to {max(layer.rank for layer in done.layers.values())}")
    print(f"lost:   {done.error:.2%} of the sum")
    print(f"LoRA:   {args.out}")


def _merge_into(args: argparse.Namespace, ingredients: list[Ingredient]) -> None:
    from charaforge.diffusion.lora_tools.merge import merge_into
    from charaforge.diffusion.single_file_export import write_single_file

    bundle, card = _bundle(args.into)
    changed = merge_into(bundle, ingredients)
    for part in (bundle.unet, bundle.vae, *bundle.text_encoders):
        for weight in part.parameters():
            weight.data = weight.data.to(_dtype(args.precision) or weight.dtype)
    write_single_file(args.out, bundle, card)
    print(f"layers: {changed} changed")
    print(f"model:  {args.out}")


def _extract(args: argparse.Namespace) -> None:
    from charaforge.diffusion.lora_format import write_lora
    from charaforge.diffusion.lora_tools.extract import Wish, extract
    from charaforge.diffusion.lora_tools.headers import extracted_header
    from charaforge.diffusion.lora_tools.low_rank import RankChoice

    tuned, base = (_bundle(word)[0] for word in (args.tuned, args.base))
    spatial = RankChoice(args.conv_rank, args.sv_ratio, args.sv_fro) if args.conv_rank else None
    found = extract(tuned, base, Wish(_choice(args), spatial, not args.no_text_encoder, args.min_diff))
    header = extracted_header(args.out.stem, tuned, base, found.layers)
    write_lora(args.out, found.layers, header, _dtype(args.precision))
    print(f"layers: {len(found.layers)}")
    print(
        f"lost:   {found.error:.2%} of their change; {found.left_out:.2%} of the whole lies in other layers"
    )
    print(f"LoRA:   {args.out}")


def _choice(args: argparse.Namespace) -> RankChoice:
    from charaforge.diffusion.lora_tools.low_rank import RankChoice

    return RankChoice(args.rank, args.sv_ratio, args.sv_fro)


def _dtype(name: str) -> torch.dtype | None:
    from charaforge.diffusion.lora_writing import precision

    return None if name == "keep" else precision(name)


def _opened(path: Path) -> LoraFile:
    from charaforge.diffusion.lora_tools.opening import open_lora

    return open_lora(path)


def _ingredient(word: str) -> Ingredient:
    """Return the LoRA of `NAME[:STRENGTH[:STRENGTH OF THE TEXT ENCODERS]]`."""
    from charaforge.diffusion.lora_adapters import Strength
    from charaforge.diffusion.lora_tools.merge import Ingredient

    name, *told = word.split(":") if not Path(word).exists() else [word]
    try:
        weights = [float(text) for text in told] or [1.0]
    except ValueError:
        raise UsageError(f"{word!r} is no LORA[:W[:T]]", "W and T are numbers, e.g. 0.8") from None
    return Ingredient(_opened(_lora_path(name)), Strength(weights[0], weights[-1]))


def _lora_path(word: str) -> Path:
    from charaforge.warehouse.cards import weights_file
    from charaforge.warehouse.registry import Registry

    path = Path(word).expanduser()
    if path.exists() or path.suffix:
        return path
    found = Registry(bootstrap()).get(word, "lora").path
    return weights_file(found) or found


def _model(lora: LoraFile, base: str) -> LoraTarget:
    """Return what a LoRA is for: the base that is given, else the published model of its family."""
    from charaforge.diffusion.lora_tools.layer_table import published
    from charaforge.diffusion.lora_tools.opening import family_of

    if not base:
        return published(family_of(lora))
    bundle, _ = _bundle(base)
    if bundle.family != family_of(lora):
        raise ModelFileError(
            f"the LoRA is for {family_of(lora)}, {base!r} is of the family {bundle.family}",
            "give a base of the LoRA's family",
        )
    return bundle


def _bundle(word: str) -> tuple[Bundle, dict[str, Any]]:
    from charaforge.diffusion.bundle import load_bundle
    from charaforge.warehouse.cards import read_card, weights_file
    from charaforge.warehouse.registry import Registry

    path = Path(word).expanduser()
    if path.exists():
        return load_bundle(path, path.stem), dict(read_card(path))
    entry = Registry(bootstrap()).get(word, "base")
    folder = (entry.path / "model_index.json").is_file()
    weights = entry.path if folder else weights_file(entry.path) or entry.path
    return load_bundle(weights, entry.name, card=entry.card), entry.card


def _check_out(path: Path, force: bool) -> None:
    if path.suffix != ".safetensors":
        raise UsageError(f"--out {path} does not end in .safetensors", "give such a name")
    if path.exists() and not force:
        raise UsageError(f"{path} is there already", "say --force to replace it, or give another name")
    path.parent.mkdir(parents=True, exist_ok=True)
