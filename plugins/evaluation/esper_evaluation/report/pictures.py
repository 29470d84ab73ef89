"""Pictures that observers left in the folder `pictures` of a run: PNGs, which go into the page as they are."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from esper_core.contracts.errors import DamagedFile
from esper_core.runs.directory import RESTORE
from esper_core.runs.records import reading
from esper_core.system.files import opened_file
from esper_evaluation.report.document import Chapter
from esper_evaluation.report.figures import Picture
from esper_evaluation.report.record import Record

FOLDER, ENDING = "pictures", ".png"
MOST, LARGEST = 24, 2 * 2**20
"""Pictures that a page shows, and bytes of each, at most."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_WORDS = b"tEXt", b"Description\0"


def pictures(record: Record) -> Chapter | None:
    """Return the chapter about the pictures of a run, by name; None without any.

    Raises:
        DamagedFile: one is no PNG, or too large.
        CheckpointMismatch: one cannot be read, or is a link.
    """
    folder = record.run.path / FOLDER
    with reading(folder, RESTORE):
        there = stat.S_ISDIR(os.lstat(folder).st_mode) if os.path.lexists(folder) else False
        paths = sorted(path for path in folder.iterdir() if path.suffix == ENDING) if there else []
    if not paths:
        return None
    shown = [_read(path, record.run.path) for path in paths[:MOST]]
    left = f" {len(paths) - MOST} more are in the folder." if len(paths) > MOST else ""
    text = f"Left by observers in the folder {FOLDER} of the run, as they were when they were last written.{left}"
    return Chapter(FOLDER, "Pictures", text, shown)


def _read(path: Path, within: Path) -> Picture:
    with (
        reading(path, RESTORE),
        opened_file(path, os.O_RDONLY, within) as descriptor,
        open(descriptor, "rb", closefd=False) as file,
    ):
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST or not content.startswith(_SIGNATURE):
        raise DamagedFile(f"{path} is no PNG of at most {LARGEST:,} bytes.", hint=RESTORE)
    return Picture(path.stem.replace("-", " ").replace("_", " ").capitalize(), description(content), content)


def description(png: bytes) -> str:
    """Return what a PNG says about itself: its text chunk `Description`, empty without one."""
    at, (kind, keyword) = len(_SIGNATURE), _WORDS
    while at + 12 <= len(png):
        length = int.from_bytes(png[at : at + 4])
        content = png[at + 8 : at + 8 + length]
        if png[at + 4 : at + 8] == kind and content.startswith(keyword):
            return content.removeprefix(keyword).decode("latin-1")
        at += 12 + length
    return ""
