"""Which broker carries the jobs, and the Celery app on it.

`REDIS_URL` names one; unset, a Redis on this machine is used if it answers; otherwise, and for `memory://`,
the jobs are done by a worker inside the API process.
"""

from __future__ import annotations

from celery import Celery

from charaforge.logs import get_logger

logger = get_logger(__name__)

EMBEDDED = "memory://"
LOCAL_REDIS = "redis://localhost:6379/0"
PING_TIMEOUT_S = 0.2
KEY_PREFIX = "charaforge:"
QUEUE = "interactive"
WORKER_COMMAND = "celery -A backend.jobs.worker worker --loglevel=INFO"


def choose_broker(redis_url: str) -> str:
    """Return the URL of the broker to use.

    Args:
        redis_url: the setting `REDIS_URL`; may be empty.
    """
    chosen = redis_url or (LOCAL_REDIS if _answers(LOCAL_REDIS) else EMBEDDED)
    logger.info("jobs run %s", "in this process" if chosen == EMBEDDED else f"on workers behind {chosen}")
    return chosen


def make_celery(broker: str) -> Celery:
    """Return a Celery app on this broker; a worker without flags does its queue, one job at a time."""
    embedded = broker == EMBEDDED
    app = Celery("charaforge", broker=broker, backend="cache+memory://" if embedded else broker)
    prefix = {} if embedded else {"global_keyprefix": KEY_PREFIX}
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        result_serializer="json",
        task_default_queue=QUEUE,
        broker_connection_retry_on_startup=True,
        broker_transport_options={"polling_interval": 0.01} if embedded else prefix,
        result_backend_transport_options=prefix,
        result_backend_thread_safe=True,
        worker_pool="threads",
        worker_concurrency=1,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        imports=("backend.jobs.tasks",),
    )
    return app


def _answers(url: str) -> bool:
    """Return whether a Redis answers at `url` within PING_TIMEOUT_S."""
    from redis import Redis, RedisError

    wait = {"socket_connect_timeout": PING_TIMEOUT_S, "socket_timeout": PING_TIMEOUT_S}
    try:
        with Redis.from_url(url, **wait) as client:
            return bool(client.ping())
    except (RedisError, OSError):
        return False
