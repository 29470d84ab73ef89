"""What an error says, and where in whose source it was raised."""

from __future__ import annotations

import os
import sysconfig
import traceback
from pathlib import Path

from esper_core.contracts.errors import EsperError

_FAKE_DEVICE = str(Path(__file__).with_name("fake_device.py"))  # It raises in torch's stead.
_LIBRARIES = ("_pytest", "pluggy", "torch", "numpy", "attr", "gymnasium")


def locate(error: BaseException) -> tuple[str, int]:
    """Return file and line of the deepest frame that is not a library's: a plugin's when it raised, else the check's.

    The cause at the bottom of a chain counts, since an error of ours may wrap that of a plugin.
    """
    while error.__cause__ is not None:
        error = error.__cause__
    frames = [(frame.filename, frame.lineno or 0) for frame in traceback.extract_tb(error.__traceback__)]
    return next((frame for frame in reversed(frames) if not is_library(frame[0])), frames[-1] if frames else ("", 0))


def summarise(error: BaseException) -> str:
    """Return one line: what a failed check or an error of ours says, and of any other error its type too."""
    text = error.message if isinstance(error, EsperError) else str(error)
    first = text.strip().splitlines()[0] if text.strip() else ""
    if isinstance(error, AssertionError | EsperError) and first:
        return first
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def is_library(path: str) -> bool:
    """Return whether a file belongs to Python or to one of the libraries below the components."""
    if path == _FAKE_DEVICE:
        return True
    if any(f"{os.sep}{name}{os.sep}" in path for name in ("site-packages", "dist-packages")):
        package = path.replace("dist-packages", "site-packages").partition(f"site-packages{os.sep}")[2]
        return package.partition(os.sep)[0] in _LIBRARIES
    return path.startswith((sysconfig.get_path("stdlib"), "<"))
