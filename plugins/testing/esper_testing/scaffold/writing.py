"""Writing a folder: all of it or nothing, and never over anything."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from esper_core.contracts.errors import UserError
from esper_core.system.files import refusal

ELSEWHERE = "Write elsewhere: --directory D."


def check_target(folder: Path) -> None:
    """Check that a folder can become a new one: it does not exist, or it is empty; raises UserError."""
    try:
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise UserError(
                f"{folder} exists and is not a folder.", hint="Move it away, or write elsewhere: --directory D."
            )
        if folder.is_dir() and any(folder.iterdir()):
            raise UserError(
                f"{folder} exists and is not empty; nothing is overwritten.",
                hint="Move it away, choose another name, or write elsewhere: --directory D.",
            )
    except OSError as error:
        raise UserError(refusal(error, folder), hint=ELSEWHERE) from error


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files, path → content, as a new folder.

    They are written beside it first and moved at once, so that whatever goes wrong leaves no half of it behind.

    Raises:
        UserError: the folder exists and is not empty, or nothing can be written there.
    """
    check_target(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as beside:
            draft = Path(beside, folder.name)
            for path, content in files.items():
                file = draft / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
            draft.replace(folder)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror or error}.", hint=ELSEWHERE) from error
