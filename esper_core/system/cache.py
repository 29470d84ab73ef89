"""Files that are expensive to make: kept on disk, listed, and cleared without touching anything else."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from attrs import frozen

from esper_core.contracts.errors import UserError
from esper_core.system import files as disk

CACHE_VARIABLE = "ESPER_CACHE"
SUFFIX = ".cache"
TAG_FILE = "CACHEDIR.TAG"
LOCK_FILE = ".lock"
_TAG = b"Signature: 8a477f597d28d172789f06886806bc55\n# Kept by esper, and made again when it is missing.\n"
"""Says to esper that a folder is its own, and to backups that nothing is lost with it (https://bford.info/cachedir)."""


def cache_directory() -> Path:
    """Return `ESPER_CACHE`, or esper's folder in the user's cache directory."""
    if explicit := os.environ.get(CACHE_VARIABLE):
        return Path(explicit).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "esper"


@frozen
class Cache:
    """A folder `NAME.cache` in the cache directory, made by esper, which marks it with a `CACHEDIR.TAG`.

    Any number of processes may keep and clear at once: whoever changes a cache holds a lock in the cache directory. A
    folder without esper's mark is never touched.
    """

    folder: Path

    @classmethod
    def named(cls, name: str) -> Cache:
        """Return the cache of this name in the cache directory."""
        return cls(cache_directory() / f"{name}{SUFFIX}")

    @property
    def name(self) -> str:
        """Its name."""
        return self.folder.name.removesuffix(SUFFIX)

    @property
    def is_ours(self) -> bool:
        """Whether the folder exists and esper made it."""
        with suppress(OSError):
            return not self.folder.is_symlink() and (self.folder / TAG_FILE).read_bytes() == _TAG
        return False

    def files(self) -> list[Path]:
        """Return the files that are kept; raises OSError."""
        found = sorted(path for path in self.folder.rglob("*") if not path.is_dir())
        return [path for path in found if path.name != TAG_FILE and not disk.is_temporary(path.name)]

    def keep(self, path: Path, content: bytes) -> None:
        """Put a file below the folder, all of it or nothing; raises OSError, or UserError for a folder of others."""
        root = self.folder.parent
        with self._locked():
            if not os.path.lexists(self.folder):
                # With its mark at once: a process may be killed, and others read without the lock.
                draft = root / disk.temporary_name()
                draft.mkdir()
                disk.create_synced(draft / TAG_FILE, _TAG)
                disk.rename(draft, self.folder, root)
            self._check_ours()
            disk.make_folder(path.parent, root)
            disk.replace_synced(path, content, root)

    def clear(self) -> int:
        """Delete the folder; return how many files were kept in it; raises as `keep` does."""
        root, rubbish = self.folder.parent, self.folder.with_name(disk.temporary_name())
        with self._locked():
            if not os.path.lexists(self.folder):
                return 0
            self._check_ours()
            count = len(self.files())
            disk.rename(self.folder, rubbish, root)
            for left in (entry for entry in root.iterdir() if disk.is_temporary(entry.name)):
                disk.remove_folder(left, root)
        return count

    def _check_ours(self) -> None:
        if not self.is_ours:
            raise UserError(
                f"{self.folder} was not made by esper: nothing is kept in it, and nothing of it deleted.",
                hint="Move it away, or let ESPER_CACHE name another directory.",
            )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        root = self.folder.parent
        root.mkdir(parents=True, exist_ok=True)
        with disk.opened_file(root / LOCK_FILE, os.O_RDWR | os.O_CREAT) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def caches() -> list[Cache]:
    """Return esper's caches in the cache directory, by name; whatever else lies there is not esper's."""
    found = map(Cache, sorted(cache_directory().glob(f"*{SUFFIX}")))
    return [cache for cache in found if cache.is_ours]
