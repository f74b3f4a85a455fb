"""Faults, and what a batch is after one: nothing lost, nothing doubled, nothing altered.

Each scenario runs one batch on real processes, does its harm at a random moment, undoes it, and waits for the
batch to end.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from redis import Redis

from backend.jobs.pattern import PatternPicture
from backend.jobs.station import SHARD, Station
from charaforge.jobstore.job import Job
from charaforge.warehouse.bootstrap import bootstrap
from charaforge.warehouse.layout import Warehouse
from tests.backend.jobs.farm import Farm, until

RECOVERY_S = 60.0
MICRO_BATCH = 8
_TURNS = 5


class TooLate(Exception):
    """The batch ended before anything was done to it; on a busy machine that happens to small ones."""


@dataclass(frozen=True)
class Setting:
    """How scenarios run.

    Attributes:
        items: of each batch.
        ms: milliseconds that a picture takes.
        renderer: class in `counting`.
        cut_s: how long Redis stays away where it is cut off.
    """

    items: int = 200
    ms: float = 5
    renderer: str = "Counting"
    cut_s: float = 60.0


@dataclass(frozen=True)
class Verdict:
    """What came of one run.

    Attributes:
        lost: items without a valid picture.
        doubled: items with more than one valid picture.
        altered: items whose bytes are not those of the undisturbed run.
        wasted: renders beyond one for each item and for each picture that was damaged.
        recovery_s: from the end of the fault to the end of the batch.
    """

    lost: int
    doubled: int
    altered: int
    wasted: int
    recovery_s: float

    @property
    def fine(self) -> bool:
        """Whether it holds what was promised."""
        harmed = self.lost or self.doubled or self.altered
        return not harmed and self.wasted <= MICRO_BATCH and self.recovery_s <= RECOVERY_S


@dataclass
class Run:
    """One batch in progress.

    Attributes:
        farm: the processes.
        station: the sender in this process, where there is one.
        job: the batch.
        setting: how it runs.
        dice: random numbers.
        damaged: pictures that were damaged on purpose.
    """

    farm: Farm
    station: Station | None
    job: Job
    setting: Setting
    dice: random.Random
    damaged: int = 0

    def at_random(self) -> None:
        """Wait for a random moment of the batch, 10 to 80 % into it."""
        goal = int(self.dice.uniform(0.1, 0.8) * self.setting.items)
        until(lambda: self.farm.settled(self.job) >= goal)
        time.sleep(self.dice.uniform(0, 8 * self.setting.ms / 1000))
        if self.job.ended():
            raise TooLate


Scenario = Callable[[Setting, random.Random, Warehouse, Path], Verdict]


@contextmanager
def running(
    setting: Setting, dice: random.Random, warehouse: Warehouse, folder: Path, workers: int
) -> Iterator[Run]:
    """Yield a batch that has begun, on a Redis and workers."""
    with Farm(warehouse, folder, ms=setting.ms, renderer=setting.renderer) as farm:
        for _ in range(workers):
            farm.start_worker()
        with farm.sender() as station:
            yield Run(farm, station, farm.submit(setting.items, station), setting, dice)


def verdict(run: Run, since: float) -> Verdict:
    """Wait for the end of a batch and look at every item."""
    job, farm = run.job, run.farm
    farm.finish(job, at_most_s=max(180.0, run.setting.items * run.setting.ms / 100))
    recovery_s = time.monotonic() - since
    expected = undisturbed(job, run.setting)
    found = {number: job.pictures.png(number) for number in expected}
    valid = {number for number in expected if job.pictures.done(number)}
    altered = sum(hashlib.sha256(found[n].read_bytes()).hexdigest() != expected[n] for n in valid)
    there = [path for path in farm.warehouse.outputs.rglob("*.png") if job.id in path.parts]
    everywhere = [path for path in there if not path.name.startswith(".")]  # not what the killed left half
    wasted = len(farm.rendered()) - len(expected) - run.damaged
    return Verdict(
        len(expected) - len(valid), len(everywhere) - len(valid), altered, max(0, wasted), recovery_s
    )


def undisturbed(job: Job, setting: Setting) -> dict[int, str]:
    """Return the sha256 of every item as an undisturbed run gives it."""
    if setting.renderer == "Counting":
        return {
            item.number: hashlib.sha256(PatternPicture(item.request, item.size).png()).hexdigest()
            for item in job.items.all()
        }
    return by_models(job)


def by_models(job: Job) -> dict[int, str]:
    """Return the same for the models, rendered here; once for each set of items."""
    from backend.jobs.models import ModelRenderer

    if job.spec.items_sha256 not in _known:
        renderer = ModelRenderer(Warehouse(Path(os.environ["AI_CACHE_ROOT"])))
        told: dict[int, str] = {}
        for item in job.items.all():  # alone, but in batches of its size: neighbours do not matter
            (picture,) = renderer.render([item.request], item.size, None, lambda done, total: None)
            told[item.number] = hashlib.sha256(picture.png()).hexdigest()
        _known[job.spec.items_sha256] = told
    return _known[job.spec.items_sha256]


_known: dict[str, dict[int, str]] = {}


def kill_worker(setting: Setting, dice: random.Random, warehouse: Warehouse, folder: Path) -> Verdict:
    """`kill -9` of a worker, one of two or the only one, and another one is started."""
    with running(setting, dice, warehouse, folder, workers=dice.choice([1, 2])) as run:
        run.at_random()
        victim = dice.choice(run.farm.workers)
        victim.kill()
        victim.wait()
        since = time.monotonic()
        run.farm.start_worker(wait=False)
        return verdict(run, since)


def kill_api(setting: Setting, dice: random.Random, warehouse: Warehouse, folder: Path) -> Verdict:
    """`kill -9` of the API: the embedded one, that renders, or one in front of a worker."""
    redis = dice.random() < 0.5
    with Farm(warehouse, folder, redis=redis, ms=setting.ms, renderer=setting.renderer) as farm:
        if redis:
            farm.start_worker()
        run = Run(farm, None, farm.submit(setting.items), setting, dice)
        api = farm.start_api()
        run.at_random()
        api.kill()
        api.wait()
        since = time.monotonic()
        farm.start_api()
        return verdict(run, since)


def empty_redis(setting: Setting, dice: random.Random, warehouse: Warehouse, folder: Path) -> Verdict:
    """`kill -9` of Redis, which starts empty, or `FLUSHALL`."""
    with running(setting, dice, warehouse, folder, workers=2) as run:
        run.at_random()
        if dice.random() < 0.5 and run.farm.redis is not None:
            run.farm.redis.kill()
            run.farm.redis.wait()
            run.farm.start_redis()
        else:
            with Redis.from_url(run.farm.url) as client:
                client.flushall()
        return verdict(run, time.monotonic())


def same_shards(setting: Setting, dice: random.Random, warehouse: Warehouse, folder: Path) -> Verdict:
    """Two workers are told of every shard, three times, in any order."""
    with running(setting, dice, warehouse, folder, workers=2) as run:
        shards = [*range(run.job.spec.shards)] * 3
        dice.shuffle(shards)
        for shard in shards:
            if run.station is not None:
                run.station.app.send_task(SHARD, args=(run.job.id, shard), queue="batch")
        return verdict(run, time.monotonic())


def damage(setting: Setting, dice: random.Random, warehouse: Warehouse, folder: Path) -> Verdict:
    """Pictures and sidecars that are there are deleted or cut off."""
    with running(setting, dice, warehouse, folder, workers=2) as run:
        run.at_random()
        pictures = run.job.pictures
        there = [n for n in range(1, setting.items + 1) if pictures.stamp(n) is not None]
        for number in dice.sample(there, min(3, len(there))):
            path = dice.choice([pictures.png(number), pictures.sidecar(number)])
            if dice.random() < 0.5:
                path.unlink()
            else:
                path.write_bytes(path.read_bytes()[: dice.randrange(60)])
            run.damaged += 1
        return verdict(run, time.monotonic())


def clock_jump(setting: Setting, dice: random.Random, warehouse: Warehouse, folder: Path) -> Verdict:
    """The clock jumps by up to a day, either way: what `time.time` tells, and the times of the leases."""
    offset = folder / "offset"
    offset.write_text("0", encoding="ascii")
    with Farm(warehouse, folder, ms=setting.ms, renderer=setting.renderer) as farm, farm.sender() as station:
        farm.environment["CLOCK_OFFSET"] = str(offset)
        for _ in range(2):
            farm.start_worker("tests.backend.jobs.jumping_worker")
        run = Run(farm, station, farm.submit(setting.items, station), setting, dice)
        run.at_random()
        jump = dice.choice([-1, 1]) * dice.uniform(60, 86400)
        offset.write_text(str(jump), encoding="ascii")
        for lease in list(run.job.folder.leases.iterdir()):
            try:
                os.utime(lease, (time.time() + jump, time.time() + jump))
            except FileNotFoundError:
                continue  # its shard was done meanwhile
        return verdict(run, time.monotonic())


def full_disk(setting: Setting, dice: random.Random, warehouse: Warehouse, folder: Path) -> Verdict:
    """A small disk fills up, and after a while somebody makes room."""
    with small_disk(folder / "disk") as small:
        os.environ["AI_CACHE_ROOT"] = str(small)
        with running(setting, dice, bootstrap(), folder, workers=2) as run:
            run.at_random()
            ballast = small / "ballast"
            _fill(ballast)
            paused = run.job.folder.disk_pause
            until(lambda: paused.exists() or run.job.ended(), 60)
            time.sleep(dice.uniform(0, 2))
            ballast.unlink()
            return verdict(run, time.monotonic())


def drain(setting: Setting, dice: random.Random, warehouse: Warehouse, folder: Path) -> Verdict:
    """SIGTERM to a worker: it ends in good order, having rendered nothing in vain."""
    with running(setting, dice, warehouse, folder, workers=2) as run:
        run.at_random()
        victim = dice.choice(run.farm.workers)
        victim.send_signal(signal.SIGTERM)
        since = time.monotonic()
        told = verdict(run, since)
        until(lambda: victim.poll() is not None, 40)
        assert victim.returncode == 0, victim.returncode
        assert told.wasted == 0, told
        return told


def cut_off(setting: Setting, dice: random.Random, warehouse: Warehouse, folder: Path) -> Verdict:
    """Redis answers nobody for a while, as behind a cut network."""
    with running(setting, dice, warehouse, folder, workers=2) as run:
        run.at_random()
        if run.farm.redis is not None:
            run.farm.redis.send_signal(signal.SIGSTOP)
            time.sleep(setting.cut_s)
            run.farm.redis.send_signal(signal.SIGCONT)
        since = time.monotonic()
        told = verdict(run, since)
        again = run.farm.submit(MICRO_BATCH, run.station)  # and the workers take messages again
        run.farm.finish(again, RECOVERY_S)
        return told


@contextmanager
def small_disk(place: Path) -> Iterator[Path]:
    """Yield a folder on a disk of 24 MB of its own.

    Raises:
        PermissionError: this user may not mount one.
    """
    place.mkdir()
    options = ["-t", "tmpfs", "-o", "size=24m", "charaforge-test", str(place)]
    if subprocess.run(["mount", *options], check=False, capture_output=True).returncode:
        raise PermissionError("only root may mount a small disk")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=False)


def _fill(ballast: Path) -> None:
    """Write until there is no room left."""
    with ballast.open("wb", buffering=0) as stream:
        try:
            while True:
                stream.write(b"\0" * 4096)
        except OSError:
            pass


SCENARIOS: dict[str, Scenario] = {
    "kill -9 of a worker": kill_worker,
    "kill -9 of the API": kill_api,
    "Redis killed or emptied": empty_redis,
    "two workers, the same shards": same_shards,
    "pictures and sidecars damaged": damage,
    "clock jumps": clock_jump,
    "disk full": full_disk,
    "SIGTERM": drain,
    "Redis cut off": cut_off,
}


def run_once(name: str, setting: Setting, seed: int) -> Verdict:
    """Run a scenario once, and again with other random numbers where it came too late."""
    for turn in range(_TURNS):
        try:
            return _run(name, setting, seed + 1000 * turn)
        except TooLate:
            continue
    raise TooLate(f"{name}: {_TURNS} batches ended before anything was done to them")


def _run(name: str, setting: Setting, seed: int) -> Verdict:
    """Run a scenario in a warehouse of its own."""
    before = os.environ.get("AI_CACHE_ROOT")
    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as place:
        folder = Path(place)
        os.environ["AI_CACHE_ROOT"] = str(folder / "warehouse")
        try:
            return SCENARIOS[name](setting, random.Random(seed), bootstrap(), folder)
        finally:
            if before is None:
                os.environ.pop("AI_CACHE_ROOT", None)
            else:
                os.environ["AI_CACHE_ROOT"] = before
