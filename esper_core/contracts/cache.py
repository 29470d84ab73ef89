"""Where components keep what is expensive to make and can be made again: one folder each below the cache directory."""

from __future__ import annotations

import os
from pathlib import Path

TAG_FILE = "CACHEDIR.TAG"
_TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# Kept by esper, and made again when it is missing.\n"
"""Says to esper and to backups alike that nothing is lost with a folder (https://bford.info/cachedir)."""


def cache_directory() -> Path:
    """Return `ESPER_CACHE`, or esper's folder in the user's cache directory."""
    if explicit := os.environ.get("ESPER_CACHE"):
        return Path(explicit)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "esper"


def cache_folder(name: str) -> Path:
    """Return the folder of this name below the cache directory, made and tagged; `esper cache clear` empties it.

    Raises:
        OSError: it cannot be made.
    """
    folder = cache_directory() / name
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / TAG_FILE).exists():
        (folder / TAG_FILE).write_text(_TAG, encoding="utf-8")
    return folder


def cache_folders() -> list[Path]:
    """Return the folders that hold a cache of esper's, by name; whatever else lies there is somebody else's."""
    root = cache_directory()
    return sorted(tag.parent for tag in root.glob(f"*/{TAG_FILE}") if tag.read_text(errors="replace") == _TAG)
