"""Which broker carries the jobs, and the Celery app on it.

`REDIS_URL` names one; unset, a Redis on this machine is used if it answers; otherwise, and for `memory://`,
the jobs are done by a worker inside the API process.
"""

from __future__ import annotations

from typing import Any

from celery import Celery
from kombu.entity import Queue

from charaforge.logs import get_logger

logger = get_logger(__name__)

EMBEDDED = "memory://"
LOCAL_REDIS = "redis://localhost:6379/0"
PING_TIMEOUT_S = 0.2
KEY_PREFIX = "charaforge:"
QUEUES = ("interactive", "batch")  # the first goes before the second
WORKER_COMMAND = "celery -A backend.jobs.worker worker --loglevel=INFO"
VISIBILITY_S = 900.0  # a message that is not acknowledged for so long comes again; shards take 2 minutes
SOCKET_S = 15.0  # a Redis that says nothing for so long is away
CONNECT_S = 5.0
DRAIN_S = 30.0


def choose_broker(redis_url: str) -> str:
    """Return the URL of the broker to use.

    Args:
        redis_url: the setting `REDIS_URL`; may be empty.
    """
    chosen = redis_url or (LOCAL_REDIS if answers(LOCAL_REDIS, PING_TIMEOUT_S) else EMBEDDED)
    where = "in this process" if chosen == EMBEDDED else f"on workers behind {_without_password(chosen)}"
    logger.info("jobs run %s", where)
    return chosen


def make_celery(broker: str) -> Celery:
    """Return a Celery app on this broker; a worker without flags does both queues, one job at a time.

    Messages are acknowledged when the work is done. What is lost nevertheless is found by the files.
    """
    embedded = broker == EMBEDDED
    app = Celery("charaforge", broker=broker, backend="cache+memory://" if embedded else broker)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        result_serializer="json",
        task_default_queue=QUEUES[0],
        task_queues=[Queue(name) for name in QUEUES],
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_ignore_result=True,
        task_track_started=False,
        task_publish_retry=False,
        result_expires=600,
        result_backend_thread_safe=True,
        worker_pool="threads",
        worker_concurrency=1,
        worker_prefetch_multiplier=1,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_soft_shutdown_timeout=DRAIN_S,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        imports=("backend.jobs.tasks",),
    )
    app.conf.update(broker_transport_options={"polling_interval": 0.01} if embedded else _redis(app))
    return app


def queue_length(app: Celery) -> int:
    """Return how many messages wait in all queues.

    Raises:
        OSError, kombu.exceptions.OperationalError: the broker cannot be reached.
    """
    with app.connection_for_read() as connection:
        channel = connection.default_channel
        return sum(int(channel._size(name)) for name in QUEUES)  # kombu offers no public way


def _redis(app: Celery) -> dict[str, Any]:
    """Set what a Redis needs in every place where Celery looks for it; return the broker's own options."""
    shared = {"global_keyprefix": KEY_PREFIX, "visibility_timeout": VISIBILITY_S}
    app.conf.update(
        visibility_timeout=VISIBILITY_S,
        result_backend_transport_options=shared,
        redis_socket_timeout=SOCKET_S,
        redis_socket_connect_timeout=CONNECT_S,
        redis_socket_keepalive=True,
        redis_retry_on_timeout=True,
        redis_backend_health_check_interval=10,
    )
    return {
        **shared,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "queue_order_strategy": "priority",
        "socket_timeout": SOCKET_S,
        "socket_connect_timeout": CONNECT_S,
        "socket_keepalive": True,
        "retry_on_timeout": True,
        "health_check_interval": 10,
    }


def _without_password(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


def answers(url: str, timeout_s: float) -> bool:
    """Return whether a Redis answers at `url` in time."""
    from redis import Redis, RedisError

    wait = {"socket_connect_timeout": timeout_s, "socket_timeout": timeout_s}
    try:
        with Redis.from_url(url, **wait, retry=None) as client:
            return bool(client.ping())
    except (RedisError, OSError):
        return False
