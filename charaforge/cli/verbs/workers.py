"""`charaforge workers`: who does the jobs of the service."""

from __future__ import annotations

import argparse

from charaforge.errors import ExitCode
from charaforge.warehouse.bootstrap import read_settings

NAME = "workers"
HELP = "list the workers of the service: where they run, whether they live, what they are at"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb: there are none."""


def run(args: argparse.Namespace) -> int:
    """Print a line for each worker; exit code 1 where none lives."""
    read_settings()
    from charaforge.client.service import Service

    with Service() as service:
        told = service.batches.workers()
    print(f"{'WORKER':28}  {'HOST':16}  {'PID':>8}  {'HEARTBEAT':>10}  AT WORK ON")
    for worker in told.workers:
        age = f"{worker.age_s:.0f} s ago" if worker.alive else "lost"
        work = ", ".join(worker.holds) or "-"
        print(f"{worker.name:28}  {worker.host:16}  {worker.pid:>8}  {age:>10}  {work}")
    if any(worker.alive for worker in told.workers):
        return ExitCode.PASS
    print("no worker lives; start one:  celery -A backend.jobs.worker worker --loglevel=INFO")
    return ExitCode.FAULT
