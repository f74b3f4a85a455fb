"""`charaforge batch`: submit a file of pictures to the service, watch it, stop it, fetch its pictures."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from charaforge.errors import ExitCode, UsageError
from charaforge.logs import Progress
from charaforge.requests.batch_answers import BatchReply, BatchStatus
from charaforge.warehouse.bootstrap import read_settings

if TYPE_CHECKING:
    from charaforge.client.batches import Batches

NAME = "batch"
HELP = "submit a CSV or JSON file of pictures to the service, watch it, stop it, fetch its pictures"

MAX_BYTES = 256 * 2**20
_DONE = {"completed": ExitCode.PASS, "completed_with_errors": ExitCode.FAILED}
Act = Callable[["Batches", argparse.Namespace], int]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands of the verb."""
    commands = parser.add_subparsers(metavar="WHAT", required=True)

    def add(name: str, text: str, act: Act, job: bool = True) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        sub.set_defaults(act=act)
        if job:
            sub.add_argument("job", metavar="JOB", help="the batch, by the name that submit told")
        return sub

    sent = add("submit", "queue a CSV or JSON file", _submit, job=False)
    sent.add_argument("file", type=Path, metavar="FILE", help="CSV (any separator and encoding) or JSON")
    sent.add_argument(
        "--name", default="", metavar="ID", help="name of the job; given again, nothing is queued"
    )
    sent.add_argument(
        "--partial",
        action="store_true",
        help="queue the sound rows; the others go to FILE.refused.csv with their reasons",
    )
    sent.add_argument(
        "--score", action="store_true", help="measure how much each picture looks like its character"
    )
    sent.add_argument("--watch", action="store_true", help="stay until all is done")
    add("status", "how far a batch is", _status, job=False).add_argument(
        "job", nargs="?", metavar="JOB", help="the batch [default: the newest ones]"
    )
    add("watch", "follow a batch to its end", _watch)
    add("cancel", "stop a batch for good", lambda batches, args: _tell(batches.cancel(args.job)))
    add("pause", "halt a batch", lambda batches, args: _tell(batches.act(args.job, "pause")))
    add("resume", "let a batch go on", lambda batches, args: _tell(batches.act(args.job, "resume")))
    add("retry", "try again what failed", lambda batches, args: _tell(batches.act(args.job, "retry-failed")))
    checked = add("verify", "render some pictures again and compare their bytes", _verify)
    checked.add_argument("--count", type=int, default=8, metavar="K", help="how many [default: 8]")
    out = add("export", "fetch the pictures as a zip, or the items as CSV", _export)
    out.add_argument("--out", type=Path, metavar="FILE", help="a .zip or .csv file [default: JOB.zip]")
    out.add_argument("--no-sidecars", action="store_true", help="only the pictures")


def run(args: argparse.Namespace) -> int:
    """Do what was asked for."""
    read_settings()
    from charaforge.client.service import Service

    act: Act = args.act
    with Service() as service:
        return act(service.batches, args)


def _submit(batches: Batches, args: argparse.Namespace) -> int:
    file: Path = args.file
    if not file.is_file():
        raise UsageError(f"there is no file {file}", "give a CSV or JSON file")
    size = file.stat().st_size
    if size > MAX_BYTES:
        told = f"{file} has {size / 2**20:,.0f} MiB; a batch file has at most {MAX_BYTES // 2**20}"
        raise UsageError(told, "split it: every part needs the header row")
    reply = batches.submit(file, args.name, args.partial, args.score)
    again = ", submitted before" if reply.known else ""
    print(f"job:      {reply.job_id}{again}")
    print(f"pictures: {reply.total}")
    _keep_refused(reply, file)
    if args.watch:
        return _follow(batches, reply.job_id)
    print(f"next:     charaforge batch watch {reply.job_id}")
    return ExitCode.PASS


def _keep_refused(reply: BatchReply, file: Path) -> None:
    if reply.refused is not None:
        place = file.with_name(f"{file.stem}.refused.csv")
        place.write_text(reply.refused.csv, encoding="utf-8-sig", newline="")  # the mark is for spreadsheets
        print(f"refused:  {reply.refused.rows} rows, with reasons in {place}")


def _status(batches: Batches, args: argparse.Namespace) -> int:
    if args.job is not None:
        return _tell(batches.status(args.job))
    found = batches.list()
    for status in found:
        print(f"{status.job_id:32}  {status.state:22}{status.done:>8} of {status.total}")
    if not found:
        print("there are no batches")
    return ExitCode.PASS


def _watch(batches: Batches, args: argparse.Namespace) -> int:
    return _follow(batches, args.job)


def _follow(batches: Batches, job_id: str) -> int:
    """Show a progress bar until the batch has ended; the exit code tells how."""
    first = batches.status(job_id)
    already = first.done + first.failed
    with Progress(first.total, "rendering", unit="pictures", done=already) as progress:

        def told(status: BatchStatus) -> None:
            note = f"{status.failed} failed" if status.failed else ""
            note += f"  paused ({status.paused_by})" if status.state == "paused" else ""
            progress.advance(status.done + status.failed - progress.done, note)

        status = batches.watch(job_id, told)
    _tell(status)
    return _DONE.get(status.state, ExitCode.FAULT)


def _tell(status: BatchStatus) -> int:
    print(f"job:      {status.job_id}")
    paused = f" ({status.paused_by})" if status.paused_by else ""
    print(f"state:    {status.state}{paused}")
    if status.note:
        print(f"because:  {status.note}")
    print(f"pictures: {status.done} of {status.total} done, {status.failed} failed, {status.pending} to come")
    if status.rate:
        left = f", {status.eta_s:.0f} s left" if status.eta_s is not None else ""
        print(f"rate:     {status.rate:.3g} pictures/s{left}")
    for failure in status.failures:
        row = f", row {failure.row}" if failure.row else ""
        print(f"failed:   item {failure.item}{row}: {failure.message}")
    for lora, told in (status.scores or {}).items():
        print(f"likeness: {lora}: " + ", ".join(f"{name} {value}" for name, value in told.items()))
    print(f"folder:   {status.folder}")
    return ExitCode.PASS


def _verify(batches: Batches, args: argparse.Namespace) -> int:
    reply = batches.verify(args.job, args.count)
    code = _follow(batches, reply.job_id)
    print("verdict:  " + ("every byte is the same" if code == ExitCode.PASS else "pictures differ"))
    return code


def _export(batches: Batches, args: argparse.Namespace) -> int:
    out: Path = args.out or Path(f"{args.job}.zip")
    if out.suffix.lower() == ".csv":
        _export_items(batches, args.job, out)
    elif out.suffix.lower() == ".zip":
        batches.archive(args.job, out, sidecars=not args.no_sidecars)
    else:
        raise UsageError(f"{out} is neither .zip nor .csv", "give a file name that ends in one of them")
    print(f"{out}  {out.stat().st_size / 2**20:.1f} MiB")
    return ExitCode.PASS


def _export_items(batches: Batches, job_id: str, out: Path) -> None:
    from charaforge.requests.batch_faults import safe_cell

    with out.open("w", encoding="utf-8-sig", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["item", "row", "state", "seed", "prompt", "image_path", "reason"])
        for item in batches.items(job_id):
            reason = item.failure.message if item.failure else ""
            words = [item.request.get("seed", ""), item.request.get("prompt", ""), item.image_path, reason]
            cells = [item.item, item.note.get("row", ""), item.state, *words]
            rows.writerow([safe_cell(str(cell)) for cell in cells])
