"""What every entry point does first: read `.env`, choose the warehouse, point the caches into it.

Imports neither torch nor a hub library, because both read their cache folders when they are imported.
"""

from __future__ import annotations

import importlib.metadata
import os
import secrets
import sys
from pathlib import Path

from dotenv import dotenv_values

from charaforge.errors import WarehouseError
from charaforge.warehouse.layout import Warehouse

SHARED_ROOT = Path("/mnt/ai_warehouse/cache")
_announced: set[Path] = set()


def bootstrap() -> Warehouse:
    """Make the warehouse ready and return it; calling it again is cheap and changes nothing.

    Reads `.env` (a variable of the real environment wins), sets the cache variables of Hugging Face and
    torch, keeps the hub libraries offline unless `HF_HUB_OFFLINE` says otherwise, makes the folders, and
    writes the `[cache] … | GPU: …` line to stderr once.

    Raises:
        WarehouseError: the root cannot be made or written to.
    """
    read_settings()
    warehouse = Warehouse(_choose_root())
    os.environ["AI_CACHE_ROOT"] = str(warehouse.root)
    for name, folder in warehouse.cache_variables.items():
        os.environ[name] = str(folder)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # only `models pull` may download
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    _prepare(warehouse)
    if warehouse.root not in _announced:
        _announced.add(warehouse.root)
        sys.stderr.write(f"[cache] {warehouse.root} | GPU: {gpu_usable()}\n")
    return warehouse


def find_env_file(start: Path) -> Path | None:
    """Return the nearest `.env` at or above `start`, looking no further up than the project's root."""
    for folder in (start, *start.parents):
        if (folder / ".env").is_file():
            return folder / ".env"
        if (folder / "pyproject.toml").is_file() or (folder / ".git").exists():
            return None
    return None


def gpu_usable() -> bool:
    """Return whether torch would find a CUDA device, without importing it.

    True when the installed torch is no CPU build, the driver shows a device (WSL2's counts), and
    `CUDA_VISIBLE_DEVICES` does not hide all of them.
    """
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return False
    try:
        cpu_build = importlib.metadata.version("torch").endswith("+cpu")
    except importlib.metadata.PackageNotFoundError:
        return False
    has_device = any(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev/dxg").exists()
    return has_device and not cpu_build


def read_settings() -> None:
    """Read `.env` into the environment; a variable of the real environment wins."""
    found = find_env_file(Path.cwd())
    for name, value in dotenv_values(found).items() if found else ():
        if value is not None:
            os.environ.setdefault(name, value)


def _choose_root() -> Path:
    asked = os.environ.get("AI_CACHE_ROOT", "").strip()
    if asked:
        return Path(asked).expanduser().absolute()
    if SHARED_ROOT.is_dir() and os.access(SHARED_ROOT, os.W_OK):
        return SHARED_ROOT
    return Path.home() / ".cache" / "charaforge"


def _prepare(warehouse: Warehouse) -> None:
    """Make all folders and prove that a file can be written."""
    probe = warehouse.root / f".probe-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        for folder in warehouse.folders:
            folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        reason = f"{error.strerror}: {error.filename}" if error.filename else str(error)
        raise WarehouseError(
            f"the warehouse {warehouse.root} cannot be written to ({reason})",
            "set AI_CACHE_ROOT, in the environment or in .env, to a folder you may write to",
        ) from error
