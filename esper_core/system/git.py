"""The git commit that a folder is at, read so that nothing which a repository names is ever run.

A repository's configuration can name programs: to watch files, to filter them, to fetch what is missing. Here git reads
its own database alone, with watching and fetching off, and never looks at a working file; whether one was changed is
found out beside git.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import frozen

READ_AT_MOST = 2**28
"""Bytes of working files that are read to tell whether they differ."""

_TIMEOUT_SECONDS = 10
_ALONE = (
    *("--no-pager", "--no-optional-locks", "-c", "core.fsmonitor=false"),
    *("-c", f"core.hooksPath={os.devnull}", "-c", f"core.attributesFile={os.devnull}"),
)
_VARIABLES = {"GIT_ALLOW_PROTOCOL": "", "GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}

_ENTRY = re.compile(
    rb"(?P<mode>\d{6}) (?P<digest>[0-9a-f]+) \d\t(?P<path>[^\0]+)\0"
    # What follows is made for people who debug git, and is done without where it is not as expected.
    rb"(?:\s+ctime: \d+:\d+\s+mtime: (?P<seconds>\d+):(?P<nanoseconds>\d+)\s+dev: \d+\s+ino: \d+\s+uid: \d+\s+gid: \d+"
    rb"\s+size: (?P<size>\d+)\s+flags: (?P<flags>[0-9a-f]+)\s*)?"
)
_SUBMODULE, _LINK = b"160000", b"120000"
_NOT_CHECKED_OUT = 0x40008000
"""Flags of entries whose files the user told git not to look at."""


def git_commit(folder: Path) -> dict[str, Any] | None:
    """Return the `commit` a folder is at, and whether files that git knows were `changed`; None outside of git.

    A file is compared byte for byte where its size or time is not what git noted: one that a filter changes counts as
    changed then, and so does what comes after the first 256 MiB.
    """
    try:
        commit = _git(folder, "rev-parse", "--verify", "HEAD").decode()
        top = Path(os.fsdecode(_git(folder, "rev-parse", "--show-toplevel")))
        index = top / os.fsdecode(_git(top, "rev-parse", "--git-path", "index"))
        staged = ("diff-index", "--cached", "--name-only", "--no-ext-diff", "--ignore-submodules=all", "HEAD", "--")
        changed = bool(_git(top, *staged)) or _Files(top, index.stat().st_mtime_ns).changed()
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "changed": changed}


def _git(folder: Path, *arguments: str) -> bytes:
    # A variable may point git to another repository; where it may look for one is the user's to say.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    ceiling = {name: os.environ[name] for name in ("GIT_CEILING_DIRECTORIES",) if name in os.environ}
    done = subprocess.run(
        ["git", "-C", str(folder), *_ALONE, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_TIMEOUT_SECONDS,
        check=True,
        env={**kept, **ceiling, **_VARIABLES},
    )
    return done.stdout.removesuffix(b"\n")


@frozen
class _Files:
    """The working files that git knows.

    Attributes:
        top: Folder in which they lie.
        noted: When git noted their sizes and times, in nanoseconds; what was written since may have the same.
    """

    top: Path
    noted: int

    def changed(self) -> bool:
        """Return whether one differs from what is staged."""
        left = READ_AT_MOST
        for entry in _ENTRY.finditer(_git(self.top, "ls-files", "--stage", "--debug", "-z")):
            if entry["mode"] == _SUBMODULE or int(entry["flags"] or b"0", 16) & _NOT_CHECKED_OUT:
                continue
            path = self.top / os.fsdecode(entry["path"])
            try:
                status = path.lstat()
            except (FileNotFoundError, NotADirectoryError):
                return True
            if self._is_as_noted(entry, status):
                continue
            left -= status.st_size
            if left < 0 or _digest(path, status, entry) != entry["digest"]:
                return True
        return False

    def _is_as_noted(self, entry: re.Match[bytes], status: os.stat_result) -> bool:
        if entry["size"] is None or status.st_mtime_ns >= self.noted:
            return False
        seconds, nanoseconds = divmod(status.st_mtime_ns, 10**9)
        return (
            stat.S_ISLNK(status.st_mode) == (entry["mode"] == _LINK)
            # Git notes 32 bits.
            and status.st_size & 0xFFFFFFFF == int(entry["size"])
            and seconds & 0xFFFFFFFF == int(entry["seconds"])
            and int(entry["nanoseconds"]) in (0, nanoseconds)
        )


def _digest(path: Path, status: os.stat_result, entry: re.Match[bytes]) -> bytes | None:
    """Return what git calls the content of a file; None for one of another kind than noted."""
    if entry["mode"] == _LINK:
        parts: Iterator[bytes] = iter([os.fsencode(path.readlink())] if stat.S_ISLNK(status.st_mode) else [])
    elif stat.S_ISREG(status.st_mode):
        parts = _content(path)
    else:
        return None
    digest = hashlib.new("sha1" if len(entry["digest"]) == 40 else "sha256", usedforsecurity=False)
    digest.update(b"blob %d\0" % status.st_size)
    for part in parts:
        digest.update(part)
    return digest.hexdigest().encode()


def _content(path: Path) -> Iterator[bytes]:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(descriptor, "rb") as stream:  # noqa: PTH123
        while part := stream.read(2**20):
            yield part
