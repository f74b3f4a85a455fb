"""`celery -A backend.jobs.worker worker`: does the jobs that the API puts into Redis."""

from __future__ import annotations

import sys
from typing import Any

from celery.signals import celeryd_init

from backend.core.settings import Settings
from backend.jobs.broker import EMBEDDED, choose_broker, make_celery
from charaforge import bootstrap, logs
from charaforge.errors import CharaForgeError, ExitCode

logs.configure()
try:
    bootstrap()
except CharaForgeError as error:
    sys.exit(f"error: {error}")
app = make_celery(choose_broker(Settings().redis_url))
app.set_default()


@celeryd_init.connect  # type: ignore[untyped-decorator]
def _needs_a_broker(**_: Any) -> None:
    """Refuse to start where no other process could hand this worker a job."""
    if app.conf.broker_url == EMBEDDED:
        sys.stderr.write(
            "error: there is no Redis for a worker to take jobs from\n"
            "  start one, for example: docker run -p 6379:6379 --name redis -d redis:7\n"
            "  or set REDIS_URL; without Redis the API does its jobs itself and needs no worker\n"
        )
        sys.exit(ExitCode.USAGE)
