"""On what a result was measured: versions and hardware, as a report prints them."""

import importlib.metadata
import os
import platform
import sys
from pathlib import Path

from charaforge import __version__

_PACKAGES = ("torch", "diffusers", "transformers", "peft", "onnxruntime", "numpy")


def surroundings() -> dict[str, str]:
    """Name -> value: Python, packages, processor, cores, GPU; nothing that names the user or the host."""
    import torch

    packages = {name: importlib.metadata.version(name) for name in _PACKAGES}
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {
        "charaforge": __version__,
        "Python": f"{platform.python_version()} on {sys.platform}",
        "packages": ", ".join(f"{name} {version}" for name, version in packages.items()),
        "processor": f"{_processor()}, {os.cpu_count()} threads, torch uses {torch.get_num_threads()}",
        "GPU": gpu,
    }


def _processor() -> str:
    table = Path("/proc/cpuinfo")
    lines = table.read_text(encoding="utf-8").splitlines() if table.is_file() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
