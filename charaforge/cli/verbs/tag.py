"""`charaforge tag`: tags of pictures by one or several taggers."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charaforge.errors import ExitCode, UsageError
from charaforge.warehouse.bootstrap import bootstrap
from charaforge.warehouse.registry import Registry

if TYPE_CHECKING:
    from charaforge.curation.tagging.rules import TaggingRules

NAME = "tag"
HELP = "tag pictures with WD14 and DeepDanbooru taggers"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument(
        "--in",
        dest="source",
        type=Path,
        required=True,
        metavar="PATH",
        help="folder of pictures, or a metadata table",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="where tag.parquet, tag.csv, captions/ and summary.json go",
    )
    parser.add_argument(
        "--character",
        default="",
        metavar="NAME",
        help="whom all pictures show [default: as folder or table say]",
    )
    parser.add_argument("--no-captions", action="store_true", help="write no .txt files")
    parser.add_argument(
        "--calibrate",
        type=Path,
        metavar="YAML",
        help="find the calibration of the taggers on the words beside the pictures; write it as rules",
    )
    add_rule_arguments(parser)


def add_rule_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose taggers and rules."""
    parser.add_argument(
        "--tagger",
        action="append",
        metavar="NAME",
        help="tagger by its name; repeatable, they are merged [default: mini-tagger]",
    )
    parser.add_argument(
        "--rules", type=Path, metavar="YAML", help="thresholds, merging, pruning; other options go before it"
    )
    parser.add_argument(
        "--threshold", type=float, metavar="P", help="of general tags, 0 to 1 [default: 0.35]"
    )
    parser.add_argument(
        "--character-threshold", type=float, metavar="P", help="of names of characters [default: 0.85]"
    )
    parser.add_argument(
        "--merge", choices=("mean", "votes"), help="calibrated mean, or k of n [default: mean]"
    )
    parser.add_argument("--votes", type=int, metavar="K", help="k [default: more than half]")
    parser.add_argument(
        "--vocabulary", type=Path, metavar="FILE", help="aliases and implications, JSON or CSV"
    )
    parser.add_argument("--keep-implied", action="store_true", help='keep "bow" beside "hair bow"')
    parser.add_argument(
        "--prune-traits",
        action="store_true",
        help="leave out what belongs to the character (80 %% of its pictures)",
    )
    parser.add_argument(
        "--ignore-sidecars", action="store_true", help="do not read words beside the pictures"
    )


def run(args: argparse.Namespace) -> int:
    """Run the stage; print where its table is."""
    from charaforge.curation.stage import run_stages
    from charaforge.curation.table import read_summary
    from charaforge.curation.tagging import tagging
    from charaforge.curation.tagging.subjects import read_subjects
    from charaforge.perception.opening import open_tagger

    warehouse = bootstrap()
    rules = rules_of(args)
    registry = Registry(warehouse)
    taggers = [open_tagger(registry, name) for name in dict.fromkeys(args.tagger or ["mini-tagger"])]
    subjects = read_subjects(args.source, args.character, warehouse)
    if rules.traits.prune and not any(one.character for one in subjects):
        raise UsageError(
            "nobody told whom the pictures show, so no traits can be told", "give --character NAME as well"
        )
    files = [one.found.path for one in subjects if not one.found.error]
    rows = run_stages([tagging.tag_stage(tagger) for tagger in taggers], files, args.out / "cache")
    if args.calibrate is not None:
        return _calibrate(args.calibrate, subjects, rows, taggers, rules)
    table = tagging.finish(args.out, subjects, rows, taggers, rules, captions=not args.no_captions)
    told = read_summary(args.out)[tagging.NAME]
    print(f"pictures:  {told['pictures']}, {told['errors']} with errors, {told['untagged']} without a tag")
    print(f"tags:      {told['tags_per_picture']} per picture")
    for character, traits in told["traits"].items():
        print(f"traits:    {character}: {', '.join(trait['tag'] for trait in traits) or 'none'}")
    for character in told["too_few_pictures_for_traits"]:
        print(f"traits:    {character}: too few pictures to tell")
    print(f"table:     {table}")
    return ExitCode.PASS


def rules_of(args: argparse.Namespace) -> TaggingRules:
    """Return the rules that the options say, over those of the file."""
    from charaforge.config import load_yaml, parse
    from charaforge.curation.tagging.rules import TaggingRules

    base = load_yaml(args.rules, TaggingRules) if args.rules else TaggingRules()
    told: dict[str, Any] = base.model_dump()
    limits = {"general": args.threshold, "character": args.character_threshold}
    told["thresholds"] |= {key: value for key, value in limits.items() if value is not None}
    chosen = {"merge": args.merge, "votes": args.votes, "vocabulary": args.vocabulary}
    told |= {key: value for key, value in chosen.items() if value is not None}
    if args.keep_implied:
        told["prune_implied"] = False
    if args.ignore_sidecars:
        told["sidecars"] = "ignore"
    if args.prune_traits:
        told["traits"]["prune"] = True
    return parse(TaggingRules, told, "charaforge tag")


def _calibrate(target: Path, subjects: Any, rows: Any, taggers: Any, rules: TaggingRules) -> int:
    """Write the rules with the calibration of every tagger."""
    import yaml

    from charaforge.curation.tagging.calibration import calibrate
    from charaforge.curation.tagging.score_text import unpacked
    from charaforge.curation.tagging.tagging import known
    from charaforge.curation.tagging.vocabulary import canonical_scores, load_vocabulary
    from charaforge.warehouse.atomic import write_text

    vocabulary = load_vocabulary(rules.vocabulary)
    told = rules.model_dump(mode="json")
    for tagger, found in zip(taggers, rows, strict=True):
        pairs = [
            (
                canonical_scores(unpacked(row["scores"]), vocabulary),
                [vocabulary.canonical(word) for word in one.words],
            )
            for one in subjects
            if one.words and (row := found.get(one.found.path)) and not row["error"]
        ]
        slope, offset = calibrate(known(tagger, vocabulary), pairs)
        before = told["taggers"].get(tagger.name, {})
        told["taggers"][tagger.name] = {**before, "slope": round(slope, 4), "offset": round(offset, 4)}
        print(f"{tagger.name}:  slope {slope:.3f}, offset {offset:.3f}, from {len(pairs)} pictures")
    write_text(target, yaml.safe_dump(told, sort_keys=False))
    print(f"rules:     {target}")
    return ExitCode.PASS
