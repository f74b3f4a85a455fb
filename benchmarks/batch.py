"""What a batch costs beside rendering: the service's batch against a bare loop around the engine.

    python benchmarks/batch.py [--items 64] [--steps 20] [--rounds 9]

Both render the same items with mini-sd in the same micro-batches, encode the pictures and write them. The
bare loop is `Generator.generate_many` on all items at once; the batch runs embedded in an API, and on a
worker behind Redis. Each time it is a new process, since two processes that do the very same differ by up to
a tenth. Rounds alternate, and medians count; the time runs from the first picture that is written to the
last one, so that neither start nor loading of models is in it. Then an interactive request is sent again and
again while a batch runs: how long it waits. Exit code 4 where a batch has less than 0.95 of the bare loop's
throughput.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from charaforge.client.service import Service
from charaforge.errors import ExitCode, ServiceError
from charaforge.jobstore.job import Job
from charaforge.jobstore.spec import Wish
from charaforge.requests.generation import GenerationRequest
from charaforge.warehouse.bootstrap import bootstrap
from charaforge.warehouse.layout import Warehouse
from tests.backend.jobs.farm import Farm, until

BAR = 0.95
FULL = 8
INTERACTIVE = 12


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--items", type=int, default=64, help="a multiple of 8")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    wishes = [Wish(request(number, args.steps)) for number in range(args.items)]
    rates: dict[str, list[float]] = {"bare": [], "embedded": [], "redis": []}
    with tempfile.TemporaryDirectory(prefix="batch-", ignore_cleanup_errors=True) as place:
        folder = Path(place)
        os.environ["AI_CACHE_ROOT"] = str(folder / "warehouse")
        warehouse = bootstrap()
        for _ in range(args.rounds):
            rates["bare"].append(alone(warehouse, wishes, folder))
            rates["embedded"].append(batch(warehouse, wishes, folder, redis=False))
            rates["redis"].append(batch(warehouse, wishes, folder, redis=True))
            print({name: round(found[-1], 3) for name, found in rates.items()}, "pictures/s", flush=True)
        waits = interactive(warehouse, wishes * 4, folder)
    middle = {name: statistics.median(found) for name, found in rates.items()}
    fine = True
    for name in ("embedded", "redis"):
        share = middle[name] / middle["bare"]
        fine &= share >= BAR
        print(f"{name}: {middle[name]:.3f} of {middle['bare']:.3f} pictures/s = {share:.3f} (bar {BAR})")
    micro_batch_s = FULL / middle["redis"]
    p95 = sorted(waits)[int(0.95 * (len(waits) - 1))]
    print(
        f"an interactive request waits {statistics.median(waits):.2f} s, p95 {p95:.2f} s;"
        f" a micro-batch takes {micro_batch_s:.2f} s"
    )
    return ExitCode.PASS if fine else ExitCode.FAILED


def request(number: int, steps: int) -> GenerationRequest:
    """Return one item."""
    told = {"prompt": f"1girl, blue hair, smile, {number}", "seed": number, "steps": steps}
    return GenerationRequest.model_validate({**told, "width": 128, "height": 128})


def alone(warehouse: Warehouse, wishes: list[Wish], folder: Path) -> float:
    """Return what `bare` returns in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(bare, warehouse, wishes, folder).result()


def bare(warehouse: Warehouse, wishes: list[Wish], folder: Path) -> float:
    """Return pictures per second of the engine alone, after its first micro-batch."""
    from charaforge.generation.generator import Generator, Way
    from charaforge.generation.outputs import save

    generator = Generator(warehouse)
    out = folder / f"bare-{time.monotonic_ns()}"
    requests = [wish.request for wish in wishes]
    times = []
    for image in generator.generate_many(requests, way=Way(FULL)):
        save(image, out)
        times.append(time.monotonic())
    return rate(times)


def batch(warehouse: Warehouse, wishes: list[Wish], folder: Path, redis: bool) -> float:
    """Return pictures per second of a batch, after its first micro-batch."""
    with Farm(warehouse, folder, redis=redis) as farm:
        farm.environment["JOB_RENDERER"] = ""
        if redis:
            farm.start_worker()
            with farm.sender() as station:
                job = farm.store.submit(wishes)
                station.dispatcher.top_up(job)
                farm.finish(job, 3600)
        else:
            job = farm.store.submit(wishes)
            farm.start_api()
            farm.finish(job, 3600)
    return rate(written(job))


def written(job: Job) -> list[float]:
    """Return when each picture was written, in seconds."""
    return sorted(job.pictures.sidecar(n).stat().st_mtime for n in range(1, job.spec.total + 1))


def rate(times: list[float]) -> float:
    """Return pictures per second from the end of the first micro-batch on."""
    return (len(times) - FULL) / (times[-1] - times[FULL - 1])


def interactive(warehouse: Warehouse, wishes: list[Wish], folder: Path) -> list[float]:
    """Return how many seconds requests wait before they begin, while a batch runs on the only worker."""
    waits = []
    with Farm(warehouse, folder) as farm:
        farm.environment["JOB_RENDERER"] = ""
        farm.start_worker()
        farm.start_api()
        with Service(farm.api_url) as service, farm.sender() as station:
            until(lambda: answers(service))
            job = farm.store.submit(wishes)
            station.dispatcher.top_up(job)
            until(lambda: farm.settled(job) >= FULL, 600)
            for number in range(INTERACTIVE):
                start = time.monotonic()
                reply = service.txt2img("1girl", width=128, height=128, steps=1, seed=number)
                waits.append(time.monotonic() - start - reply.elapsed_ms / 1000)
                if job.ended():
                    break
            job.cancel()
    return waits


def answers(service: Service) -> bool:
    """Return whether the API is up."""
    try:
        return service.health().ok
    except ServiceError:
        return False


if __name__ == "__main__":
    sys.exit(main())
