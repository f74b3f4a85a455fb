"""Settings of the library that come from the environment (`.env.example` lists all of them)."""

from __future__ import annotations

import os

from charaforge.errors import UnknownNameError, UsageError

DTYPES = ("float32", "float16", "bfloat16")
EMBEDDED_BASE = "mini-sd"
MAX_ITEMS = 100_000


def default_model() -> str:
    """Return the base model that is used where a request names none: `DEFAULT_MODEL`, else mini-sd."""
    return os.environ.get("DEFAULT_MODEL", "").strip() or EMBEDDED_BASE


def model_memory() -> int | None:
    """Return the bytes that kept models may take, of `MODEL_MEMORY_GB`; None where memory itself decides.

    Raises:
        UsageError: it is no positive number.
    """
    told = os.environ.get("MODEL_MEMORY_GB", "").strip()
    if not told:
        return None
    try:
        gigabytes = float(told)
    except ValueError:
        gigabytes = 0.0
    if not 0.0 < gigabytes < 1e6:
        raise UsageError(f"MODEL_MEMORY_GB is {told!r}", "give a positive number of GiB, or leave it empty")
    return int(gigabytes * 2**30)


def batch_max_items() -> int:
    """Return how many items a batch may have: `BATCH_MAX_ITEMS`, else 100,000.

    Raises:
        UsageError: it is no positive whole number.
    """
    told = os.environ.get("BATCH_MAX_ITEMS", "").strip()
    if not told:
        return MAX_ITEMS
    if not told.isdigit() or int(told) < 1:
        raise UsageError(f"BATCH_MAX_ITEMS is {told!r}", "give a positive whole number, or leave it empty")
    return int(told)


def safety_filter() -> bool | str:
    """Return what `API_SAFETY` says: False for "off" or nothing, True for "on", else a checker's name."""
    told = os.environ.get("API_SAFETY", "").strip()
    known = {"": False, "off": False, "0": False, "on": True, "1": True}
    return known.get(told.lower(), told)


def model_dtype() -> str:
    """Return the type that models are loaded in, of `MODEL_DTYPE`; "" where the device decides.

    Raises:
        UnknownNameError: it is none of `DTYPES`.
    """
    told = os.environ.get("MODEL_DTYPE", "").strip().lower()
    short = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16", "auto": ""}
    name = short.get(told, told)
    if name and name not in DTYPES:
        raise UnknownNameError("MODEL_DTYPE", told, DTYPES)
    return name
