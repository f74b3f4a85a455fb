"""Several trainings, one after the other, unattended: each in a process of its own, one table at the end.

A run that fails, or whose process is killed, does not stop the others. Runs save their state as ever: the
same queue, started again, goes on where it was, and what is finished is only reported.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from charaforge.config import load_yaml
from charaforge.errors import ConfigError, UsageError
from charaforge.logs import get_logger
from charaforge.training.config import TrainingConfig
from charaforge.training.interrupt import Interrupt
from charaforge.training.journal import read_events
from charaforge.warehouse.atomic import write_json, write_text

logger = get_logger(__name__)

_POLL_S = 0.2
_DONE, _FAILED, _STOPPED = "done", "failed", "stopped"


@dataclass(frozen=True)
class Outcome:
    """What became of one run.

    Attributes:
        config: its file.
        lora: folder of the LoRA.
        result: "done", "failed" or "stopped".
        steps: the last step that is known of.
        held_out: lowest validation loss, None where nothing was held out or measured.
        minutes: time that it took this time.
        told: last line of its log where it failed, else "".
    """

    config: str
    lora: str
    result: str
    steps: int
    held_out: float | None
    minutes: float
    told: str


def run_queue(files: Sequence[Path], folder: Path) -> list[Outcome]:
    """Train one configuration after the other.

    Args:
        files: their YAML files.
        folder: gets `results.md` and `results.json`, both renewed after each run, and a log of each.

    Raises:
        ConfigError: configurations cannot be read or are faulty, or two of them have the same output_dir; all
            faults at once, and nothing was trained.
        KeyboardInterrupt: Ctrl-C or SIGTERM; the run in progress saved its state.
    """
    configs = _checked(files)
    folder.mkdir(parents=True, exist_ok=True)
    outcomes: list[Outcome] = []
    for number, (file, config) in enumerate(zip(files, configs, strict=True), start=1):
        logger.info("%d of %d: %s", number, len(files), file)
        outcomes.append(_run(file, config, folder / f"{number:02}-{file.stem}.log"))
        write_json(folder / "results.json", [asdict(outcome) for outcome in outcomes])
        write_text(folder / "results.md", table(outcomes))
        if outcomes[-1].result == _STOPPED:
            raise KeyboardInterrupt
    return outcomes


def table(outcomes: Sequence[Outcome]) -> str:
    """Return the outcomes as a Markdown table."""
    lines = [
        "| configuration | result | steps | held-out loss | minutes | LoRA |",
        "|---|---|--:|--:|--:|---|",
    ]
    for one in outcomes:
        loss = "" if one.held_out is None else f"{one.held_out:.4f}"
        result = f"{one.result}: {one.told}" if one.told else one.result
        name = Path(one.config).name
        lines.append(f"| {name} | {result} | {one.steps} | {loss} | {one.minutes:.1f} | {one.lora} |")
    return "\n".join(lines) + "\n"


def _checked(files: Sequence[Path]) -> list[TrainingConfig]:
    configs: list[TrainingConfig] = []
    faults: list[str] = []
    for file in files:
        try:
            configs.append(load_yaml(file, TrainingConfig))
        except ConfigError as error:
            faults += [f"{file}: {line}" for line in error.faults]
        except UsageError as error:
            faults.append(error.message)
    folders = [config.output_dir.expanduser().resolve() for config in configs]
    faults += [
        f"{folder}: two runs have this output_dir" for folder in set(folders) if folders.count(folder) > 1
    ]
    if faults:
        raise ConfigError("queue", faults)
    return configs


def _run(file: Path, config: TrainingConfig, log: Path) -> Outcome:
    started = time.monotonic()
    command = [sys.executable, "-m", "charaforge.cli.main", "train", "--config", str(file)]
    with log.open("wb") as stream, Interrupt() as interrupt:
        process = subprocess.Popen(command, stdout=stream, stderr=stream, start_new_session=True)
        try:
            while process.poll() is None:
                time.sleep(_POLL_S)
                if interrupt.wished:
                    process.send_signal(signal.SIGTERM)
                    process.wait()
        finally:
            if process.poll() is None:
                process.kill()
    result = _STOPPED if interrupt.wished else _FAILED if process.returncode else _DONE
    told = _reason(log, process.returncode) if result == _FAILED else ""
    return _outcome(file, config, result, (time.monotonic() - started) / 60, told)


def _outcome(file: Path, config: TrainingConfig, result: str, minutes: float, told: str) -> Outcome:
    events = list(read_events(config.output_dir / "events.jsonl"))
    losses = [event["loss"] for event in events if event["event"] == "validation" and event["step"] > 0]
    return Outcome(
        config=str(file),
        lora=str(config.output_dir),
        result=result,
        steps=max((event["step"] for event in events), default=0),
        held_out=min(losses, default=None),
        minutes=round(minutes, 2),
        told=told,
    )


def _reason(log: Path, code: int) -> str:
    """Return why a run failed: the error that its log ends with, never just a number."""
    if code < 0:
        name = signal.Signals(-code).name
        return f"its process was killed by {name}" + (", perhaps for want of memory" if code == -9 else "")
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    errors = [line for line in lines if line.startswith("error:")] or [line for line in lines if line]
    return (errors or [f"exit code {code}"])[-1].replace("|", "/")
