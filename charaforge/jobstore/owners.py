"""Who works: a process, told so that others on the same machine can see whether it still lives."""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_PROC = Path("/proc")


@dataclass(frozen=True)
class Owner:
    """A process on a machine.

    Attributes:
        name: of the worker, for people.
        host: name of the machine.
        pid: its number; numbers are used again, hence `started`.
        started: when the process began, in ticks since the boot; 0 = not known.
        boot: of the machine; "" = not known.
        space: the number space that the pid belongs to: containers on one machine have their own.
    """

    name: str
    host: str
    pid: int
    started: int
    boot: str
    space: str

    def plain(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)

    @staticmethod
    def read(told: Any) -> Owner | None:
        """Return the owner that JSON values tell, or nothing."""
        try:
            return Owner(**told)
        except TypeError:
            return None

    def dead(self) -> bool:
        """Return whether the process is surely gone: it was on this boot of this machine, and is no more."""
        boot, space = _here()
        if not boot or (self.boot, self.space) != (boot, space) or not self.started:
            return False
        return _started(self.pid) != self.started


def this_process(name: str = "") -> Owner:
    """Return this process as an owner.

    Args:
        name: of the worker; by default made of the host's name and the pid.
    """
    boot, space = _here()
    host, pid = socket.gethostname(), os.getpid()
    return Owner(name or f"{host}-{pid}", host, pid, _started(pid), boot, space)


def new_token() -> str:
    """Return what tells one claim from all others."""
    return secrets.token_hex(8)


def _here() -> tuple[str, str]:
    """Return boot and number space of this process; empty where the system does not tell them."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return boot, str((_PROC / "self/ns/pid").readlink())
    except OSError:
        return "", ""


def _started(pid: int) -> int:
    """Return when a process began, 0 where it is gone, is a zombie, or cannot be seen."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
    except OSError:
        return 0
    state, started = fields.split()[0], fields.split()[19]
    return 0 if state in ("Z", "X") else int(started)
