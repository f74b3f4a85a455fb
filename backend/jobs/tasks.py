"""What a worker is told to do. Tasks carry names of jobs and shards, never what is in them."""

from __future__ import annotations

from typing import Any

from celery import Task, shared_task

from backend.core.json_logs import bound
from backend.core.problems import problem_of
from backend.jobs.models import ModelRenderer
from backend.jobs.station import SHARD, station_of
from charaforge.logs import get_logger

logger = get_logger(__name__)

FOLLOW_PINS = "charaforge.follow-pins"


def do_shard(task: Task, job_id: str, shard: int) -> None:
    """Do a shard of a job, unless that is done already or somebody else is at it.

    Args:
        task: the task at work.
        job_id: name of the job.
        shard: number of the shard.
    """
    station = station_of(task.app)
    job = station.store.find(job_id)
    if station.worker is None or job is None:
        return
    with bound(job_id=job_id, shard=shard, request_id=str(job.spec.options.get("request_id", ""))):
        outcome = station.worker.do(job_id, shard)
        logger.info("shard %s", outcome)


def follow_pins(task: Task) -> dict[str, Any]:
    """Load the LoRAs that are pinned, and free those that no longer are.

    Returns:
        The problem of each LoRA that cannot be loaded.
    """
    station = station_of(task.app)
    if station.worker is None or not isinstance(station.renderer, ModelRenderer):
        return {}
    faults = station.worker.alone(station.renderer.follow_pins)
    return {lora: problem_of(error).model_dump() for lora, error in faults.items()}


shared_task(bind=True, name=SHARD, ignore_result=True)(do_shard)
shared_task(bind=True, name=FOLLOW_PINS, ignore_result=False)(follow_pins)
