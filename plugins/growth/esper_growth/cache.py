"""Where growth keeps what is expensive to make and can be made again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_directory() -> Path:
    """Return `ESPER_CACHE`, or esper's folder in the user's cache directory."""
    if explicit := os.environ.get("ESPER_CACHE"):
        return Path(explicit)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "esper"
