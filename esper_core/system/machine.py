"""The machine and its libraries, as records name them."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from typing import Any

LIBRARIES = ("torch", "numpy", "gymnasium", "scikit-learn", "safetensors", "attrs", "cattrs", "pluggy")


def cores() -> int:
    """Return how many cores this process may use: its share, where a launcher says how many there are beside it."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    beside = os.environ.get("LOCAL_WORLD_SIZE", "")
    return max(1, found // int(beside)) if beside.isdecimal() and int(beside) else found


def machine() -> dict[str, Any]:
    """Return what kind of machine this is."""
    return {
        "system": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": cores(),
        "executable": sys.executable,
    }


def libraries() -> dict[str, str]:
    """Return the versions of Python and of the libraries that numbers depend on."""
    found = {name: installed_version(name) for name in LIBRARIES}
    return {"python": platform.python_version(), **{name: version for name, version in found.items() if version}}


def installed_version(distribution: str) -> str:
    """Return the version of an installed distribution; empty without it."""
    try:
        return metadata.version(distribution)
    except (metadata.PackageNotFoundError, ValueError):
        return ""
