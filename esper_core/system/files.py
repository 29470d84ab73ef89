"""Writing files: whole or not at all, as the umask allows, and never through a link.

Functions take the folder `within` which no link is followed, the file's own folder by default: a run that somebody else
packed cannot make esper write elsewhere. Above that folder links are the user's and are followed. What the operating
system refuses is an OSError.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from esper_core.contracts.errors import EsperError

LINK = "it is a link, and nothing is written through one"
NOT_REGULAR = "it is not a regular file"

_TEMPORARY = re.compile(r"\.esper-[0-9a-f]{16}\.tmp")


@contextmanager
def writing(path: Path, hint: str = "Make room, or make it writable, and start again.") -> Iterator[None]:
    """Report what the operating system refuses as an EsperError that names `path`, or the link on the way to it."""
    try:
        yield
    except OSError as error:
        if error.strerror in (LINK, NOT_REGULAR):
            hint = "Move it away, or put a file or folder of its own in its place."
        raise EsperError(refusal(error, path), hint=hint) from error


def refusal(error: OSError, path: Path) -> str:
    """Return the sentence that says which file cannot be written, and why."""
    # The name of a temporary file tells nothing; that of a link in the way does.
    place = error.filename if error.strerror == LINK else path
    return f"{place} cannot be written: {error.strerror or error}."


def temporary_name() -> str:
    """Return a name that no other file has and that cannot be guessed; `is_temporary` knows it."""
    return f".esper-{secrets.token_hex(8)}.tmp"


def is_temporary(name: str) -> bool:
    """Return whether a name is that of a file which a killed process may have left unfinished."""
    return _TEMPORARY.fullmatch(name) is not None


# Folders ------------------------------------------------------------------------------------------------------------


def make_folder(path: Path, within: Path) -> None:
    """Make a folder that may be there already, and those above it."""
    _check_way(path, within)
    path.mkdir(parents=True, exist_ok=True)


def remove_folder(path: Path, within: Path) -> None:
    """Remove a folder and its content, as far as the operating system permits."""
    _check_way(path.parent, within)
    shutil.rmtree(path, ignore_errors=True)


def sync_folder(path: Path) -> None:
    """Wait until the disk has the entries of a folder."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def rename(path: Path, target: Path, within: Path) -> None:
    """Give a file or folder another name in its folder and wait until the disk has it."""
    _check_way(target.parent, within)
    path.rename(target)
    sync_folder(target.parent)


def _check_way(path: Path, within: Path) -> None:
    """Raise OSError where a path, or a folder on the way to it from `within`, is a link."""
    for part in path.relative_to(within).parts:
        within /= part
        if within.is_symlink():
            raise OSError(errno.ELOOP, LINK, str(within))


# Files --------------------------------------------------------------------------------------------------------------


@contextmanager
def opened_file(path: Path, flags: int, within: Path | None = None) -> Iterator[int]:
    """Yield a descriptor of a regular file, opened with `flags` of `os.open`."""
    _check_way(path, within or path.parent)
    # Without O_NONBLOCK a pipe of this name would let us wait for ever.
    descriptor = os.open(path, flags | os.O_NONBLOCK, 0o666)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, NOT_REGULAR, str(path))
        yield descriptor
    finally:
        os.close(descriptor)


def create_synced(path: Path, content: bytes, within: Path | None = None) -> None:
    """Write a file that is not there yet and wait until the disk has it."""
    with opened_file(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, within) as descriptor:
        _write(descriptor, content)


def append_synced(path: Path, content: bytes, within: Path | None = None) -> None:
    """Append to a file and wait until the disk has it."""
    with opened_file(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, within) as descriptor:
        is_new = os.fstat(descriptor).st_size == 0
        _write(descriptor, content)
    if is_new:
        sync_folder(path.parent)


def replace_synced(path: Path, content: bytes, within: Path | None = None) -> None:
    """Write a file, all of it or nothing, in place of one that may be there; a link of this name is replaced too.

    Any number of processes may do so at once; the file is that of one of them. Where it fails, what was there stays.
    """
    check_replaceable(path)
    unfinished = path.with_name(temporary_name())
    try:
        create_synced(unfinished, content, within)
        unfinished.replace(path)
        sync_folder(path.parent)
    except BaseException:
        if unfinished.exists():
            unfinished.unlink()
        raise


def check_replaceable(path: Path) -> None:
    """Raise OSError where there is something else of this name than a regular file or a link to one."""
    # /dev/stdout leads to a regular file where output is redirected, and is none for that.
    if path.exists() and (not path.is_file() or path.parent.resolve() == Path("/dev")):
        raise OSError(errno.EINVAL, NOT_REGULAR, str(path))


def check_creatable(path: Path) -> None:
    """Find out before any work is done whether a file can be written."""
    check_replaceable(path)
    probe = path.with_name(temporary_name())
    probe.touch(exist_ok=False)
    probe.unlink()


def _write(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    os.fsync(descriptor)
