"""A warehouse that several hosts share, in one process: their clocks, crashes, and a disk that shows late."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from charaforge.jobstore.claims import Watch
from charaforge.jobstore.dispatch import Dispatcher
from charaforge.jobstore.files import Files, Stat
from charaforge.jobstore.job import Job
from charaforge.jobstore.owners import Owner
from charaforge.jobstore.rendering import OnStep
from charaforge.jobstore.spec import Wish
from charaforge.jobstore.store import JobStore
from charaforge.jobstore.work import Worker
from charaforge.requests.generation import GenerationRequest
from charaforge.warehouse.layout import Warehouse


class Crash(BaseException):
    """The process was killed at this very operation."""


@dataclass
class Drawn:
    """A picture that its request and the size of its micro-batch decide."""

    request: Mapping[str, Any]
    size: int
    made_with: Mapping[str, str] = field(default_factory=dict)

    def png(self) -> bytes:
        return drawn(self.request, self.size)

    def facts(self) -> Mapping[str, Any]:
        return {"seed": self.request["seed"]}

    def weights(self) -> Mapping[str, str]:
        return self.made_with


def drawn(request: Mapping[str, Any], size: int) -> bytes:
    return hashlib.sha256(f"{sorted(request.items())} {size}".encode()).digest() * 3


@dataclass
class Rendering:
    """Draws; counts what it draws; does what `trouble` does with the seeds of a group before."""

    rendered: list[int] = field(default_factory=list)
    trouble: Callable[[list[int]], None] = lambda seeds: None
    sizes: list[tuple[int, int, int | None]] = field(default_factory=list)
    weights: dict[str, str] = field(default_factory=dict)

    def render(
        self, requests: Sequence[Mapping[str, Any]], size: int, rung: int | None, on_step: OnStep
    ) -> Iterator[Drawn]:
        self.sizes.append((len(requests), size, rung))
        self.trouble([request["seed"] for request in requests])
        for request in requests:
            on_step(1, 1)
            self.rendered.append(request["seed"])
            yield Drawn(request, size, dict(self.weights))


class WorldFiles(Files):
    """The files of one host.

    Crashes after `left` more changes, and then does nothing any more. Shows what others changed `delay_s`
    late: listings, missing files and times; but exclusive creation is true at once, as on NFS.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.left: int | None = None
        self.dead = False
        self.delay_s = 0.0
        self.full = False
        self._seen: dict[tuple[str, Path], tuple[float, Any]] = {}

    def _late(self, what: str, path: Path, look: Callable[[], Any]) -> Any:
        if self.dead:
            raise Crash
        if not self.delay_s:
            return look()
        known = self._seen.get((what, path))
        if known is None or self.world.now - known[0] >= self.delay_s:
            known = self._seen[what, path] = self.world.now, look()
        return known[1]

    def _change(self, path: Path) -> None:
        """Count a change; crash before it where it is one too many."""
        if self.left is not None:
            self.left -= 1
        self.dead = self.dead or (self.left is not None and self.left < 0)
        if self.dead:
            raise Crash
        for what in ("exists", "stat", "read"):
            self._seen.pop((what, path), None)
        for what in ("names", "listing"):
            self._seen.pop((what, path.parent), None)

    def read(self, path: Path) -> bytes | None:
        found = super().read(path)
        return found if found is None or not self.delay_s else self._late_found(path, found)

    def _late_found(self, path: Path, found: bytes) -> bytes | None:
        """A file is read as it is, where this host knows of it."""
        known: bytes | None = self._late("read", path, lambda: super(WorldFiles, self).read(path))
        return found if known is not None else None

    def stat(self, path: Path) -> Stat | None:
        found: Stat | None = self._late("stat", path, lambda: super(WorldFiles, self).stat(path))
        return found

    def exists(self, path: Path) -> bool:
        return bool(self._late("exists", path, lambda: super(WorldFiles, self).exists(path)))

    def names(self, folder: Path) -> list[str]:
        found: list[str] = self._late("names", folder, lambda: super(WorldFiles, self).names(folder))
        return found

    def write(self, path: Path, data: bytes) -> None:
        self._change(path)
        if self.full:
            raise OSError(28, "No space left on device")
        super().write(path, data)

    def create(self, path: Path, data: bytes) -> bool:
        self._change(path)
        made = super().create(path, data)
        if made:
            self.world.created(path)
        return made

    def append(self, path: Path, data: bytes) -> None:
        self._change(path)
        super().append(path, data)

    def remove(self, path: Path) -> None:
        self._change(path)
        super().remove(path)

    def touch(self, path: Path) -> bool:
        self._change(path)
        return super().touch(path)

    def publish(self, prepared: Path, folder: Path) -> bool:
        self._change(folder)
        return super().publish(prepared, folder)

    def room(self, folder: Path) -> bool:
        return not self.full

    def much_room(self, folder: Path) -> bool:
        return not self.full

    def flush(self, paths: Iterable[Path]) -> None:
        """Nothing is ever lost here but by crashes."""


class Inline(Executor):
    """Does at once what it is given."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


class Host:
    """One process: its view of the jobs, its worker."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.files = WorldFiles(world)
        self.files.delay_s = world.delay_s
        owner = Owner(name, name, 1, 1, "a boot of long ago", "")
        self.store = JobStore(world.warehouse, self.files, owner, Watch(lambda: world.now))
        self.dispatcher = Dispatcher(
            self.store, self._send, lambda: len(world.hosts), lambda: not world.messages
        )
        self.rendering = Rendering()
        self.worker = Worker(self.store, self.rendering, lambda job, go: None, self.dispatcher.top_up)
        self.worker.executor.shutdown()
        self.worker.executor = Inline()  # type: ignore[assignment]

    def _send(self, job: Job, shard: int) -> None:
        if self.files.dead:
            raise Crash
        self.world.messages.append((job.id, shard))


class World:
    """Hosts, messages, time."""

    def __init__(self, warehouse: Warehouse, hosts: int = 2, delay_s: float = 0.0) -> None:
        self.warehouse, self.delay_s = warehouse, delay_s
        self.now = 0.0
        self.messages: list[tuple[str, int]] = []
        self.leases: set[Path] = set()
        self.rendered_before: list[int] = []
        self.hosts: list[Host] = []
        self.hosts = [Host(self, f"host{number}") for number in range(hosts)]
        self.eye = JobStore(warehouse, Files(), watch=Watch(lambda: self.now))

    def created(self, path: Path) -> None:
        """Note a claim; no generation of a shard is ever made twice."""
        if ".lease." in path.name:
            job = self.eye.find(path.parent.parent.name)
            if job is not None and int(path.name.split(".")[0]) < job.spec.shards:
                assert path not in self.leases or self.delay_s, f"{path.name} was made twice"
                self.leases.add(path)

    def trouble(self, trouble: Callable[[list[int]], None]) -> None:
        """Let every host call this before it renders seeds."""
        for host in self.hosts:
            host.rendering.trouble = trouble

    def submit(self, count: int, host: int = 0) -> Job:
        return self.hosts[host].store.submit([wish(number) for number in range(count)])

    def guarded(self, host: int, act: Callable[[Host], Any]) -> bool:
        """Let a host do something; where it crashes, start it anew. Return whether it lived."""
        try:
            act(self.hosts[host])
        except Crash:
            self.restart(host)
            return False
        return True

    def restart(self, host: int) -> None:
        """Kill a host and start another process under the same name."""
        self.rendered_before += self.hosts[host].rendering.rendered
        trouble = self.hosts[host].rendering.trouble
        self.hosts[host] = Host(self, self.hosts[host].name)
        self.hosts[host].rendering.trouble = trouble

    def deliver(self, host: int, place: int = 0) -> bool:
        """Give a host a message; return whether it lived."""
        if not self.messages:
            return True
        job_id, shard = self.messages.pop(place % len(self.messages))
        return self.guarded(host, lambda one: one.worker.do(job_id, shard))

    def settle(self, rounds: int = 400) -> None:
        """Let everybody work undisturbed until every job has ended or is halted."""
        for number in range(rounds):
            if all(job.ended() or job.halted() for job in self.eye.unfinished()) and number > 3:
                return
            for host in range(len(self.hosts)):
                self.guarded(host, lambda one: one.dispatcher.reconcile())
                for _ in range(100):  # a shard that is sent again and again must not keep us here
                    self.deliver(host)
            self.now += 10.0
        raise AssertionError([self.eye.status(job) for job in self.eye.unfinished()])

    def rendered(self) -> list[int]:
        return [*self.rendered_before, *(seed for host in self.hosts for seed in host.rendering.rendered)]

    def check_pictures(self, job: Job) -> tuple[int, int]:
        """Every picture that counts as done is right, byte for byte; return how many are done and failed."""
        job = self.eye.job(job.id)
        done = failed = 0
        for item in job.items.all():
            if job.pictures.done(item.number):
                assert job.pictures.png(item.number).read_bytes() == drawn(item.request, item.size)
                done += 1
            failed += job.failures.failed(item.number)
        return done, failed


def wish(number: int, **fields: Any) -> Wish:
    told = {"prompt": f"girl {number}", "seed": number, "width": 64, "height": 64, "steps": 1}
    return Wish(GenerationRequest.model_validate({**told, **fields}), {"row": number})
