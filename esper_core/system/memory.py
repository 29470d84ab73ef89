"""Memory: how much of it is left, and refusing what does not fit before it is asked for."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from esper_core.contracts.errors import ConfigError

_CGROUPS = (
    ("/sys/fs/cgroup", "memory.max", "memory.current", "memory.stat"),
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat"),
)


def memory_left(device: str = "cpu") -> int | None:
    """Return how many bytes can be had on a torch device, or None where the system does not say."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    known = [left for left in (_of_the_machine(), *map(_of_a_group, _CGROUPS)) if left is not None]
    return min(known, default=None)


def check_memory(needed: float, what: str, hint: str, device: str = "cpu") -> None:
    """Raise ConfigError, with a hint, where `what`, in the plural, needs more bytes than a torch device has left."""
    left = memory_left(device)
    if left is not None and needed > left:
        raise ConfigError(f"{what} need {shown(needed)} of memory; {shown(left)} are left on {device}.", hint=hint)


def shown(size: float) -> str:
    """Return a number of bytes such as `1.5 GiB`."""
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if size < 1024:
            return f"{size:.4g} {unit}"
        size /= 1024
    return "more than 1024 TiB"


def _of_the_machine() -> int | None:
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]) * 1024
    with contextlib.suppress(OSError, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _of_a_group(files: tuple[str, str, str, str]) -> int | None:
    """Return what a control group leaves, such as that of a container; the files it caches can be dropped."""
    limit, used, details = (Path(files[0], name) for name in files[1:])
    with contextlib.suppress(OSError, ValueError):
        most, now = int(limit.read_text()), int(used.read_text())
        entries = dict(line.split() for line in details.read_text().splitlines())
        cached = int(entries.get("inactive_file", entries.get("total_inactive_file", "0")))
        return max(0, most - now + cached)
    return None
