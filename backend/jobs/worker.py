"""`celery -A backend.jobs.worker worker`: does the jobs of the warehouse, told of them by Redis."""

from __future__ import annotations

import logging
import sys
from typing import Any

from celery.signals import celeryd_init, setup_logging, worker_ready, worker_shutdown, worker_shutting_down

from backend.core import json_logs
from backend.core.settings import Settings
from backend.jobs.broker import EMBEDDED, choose_broker, make_celery
from backend.jobs.station import Station, install, station_of
from charaforge import bootstrap
from charaforge.errors import CharaForgeError, ExitCode
from charaforge.generation.heap import share_one_heap

json_logs.configure()
share_one_heap()
try:
    warehouse = bootstrap()
except CharaForgeError as error:
    sys.exit(f"error: {error}")
app = make_celery(choose_broker(Settings().redis_url))
app.set_default()


@celeryd_init.connect  # type: ignore[untyped-decorator]
def _begin(**_: Any) -> None:
    """Refuse to start where no other process could hand this worker a job."""
    if app.conf.broker_url == EMBEDDED:
        sys.stderr.write(
            "error: there is no Redis for a worker to take jobs from\n"
            "  start one, for example: docker run -p 6379:6379 --name redis -d redis:7\n"
            "  or set REDIS_URL; without Redis the API does its jobs itself and needs no worker\n"
        )
        sys.exit(ExitCode.USAGE)
    try:
        install(Station(app, warehouse, works=True))
    except CharaForgeError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)


@setup_logging.connect  # type: ignore[untyped-decorator]
def _log(loglevel: int = logging.INFO, **_: Any) -> None:
    """Keep Celery from setting up lines of its own."""
    json_logs.configure(loglevel)


@worker_ready.connect  # type: ignore[untyped-decorator]
def _ready(**_: Any) -> None:
    station_of(app).start()


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _drain(**_: Any) -> None:
    """SIGTERM: the micro-batch at work is finished, its shard given back."""
    station_of(app).drain()


@worker_shutdown.connect  # type: ignore[untyped-decorator]
def _end(**_: Any) -> None:
    station_of(app).stop()
