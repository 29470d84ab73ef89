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
MANIFEST_FILE = "MANIFEST"
TAG_FILE = "CACHEDIR.TAG"
LOCK_FILE = ".lock"
_HEAD = b"# The files that esper keeps here. `esper cache clear` deletes these and no others.\n"
_TAG = b"Signature: 8a477f597d28d172789f06886806bc55\n# Kept by esper, and made again when it is missing.\n"
"""Says to backups that nothing is lost with a folder (https://bford.info/cachedir)."""


def cache_directory() -> Path:
    """Return `ESPER_CACHE`, or esper's folder in the user's cache directory."""
    if explicit := os.environ.get(CACHE_VARIABLE):
        return Path(explicit).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "esper"


@frozen
class Cache:
    """A folder `NAME.cache` in the cache directory, made by esper, with a manifest of what esper keeps in it.

    Any number of processes may keep and clear at once: whoever changes a cache holds a lock in the cache directory. A
    folder without a manifest is not esper's, and so is a file that the manifest does not list.
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
        try:
            return self._manifest().startswith(_HEAD)
        except OSError:
            return False

    def files(self) -> list[Path]:
        """Return the files that are kept, those alone which `clear` deletes; raises OSError."""
        return [path for path in self._listed() if os.path.lexists(path)]

    def keep(self, path: Path, content: bytes) -> None:
        """Put a file below the folder, all of it or nothing, and list it.

        Raises:
            UserError: the folder is not esper's.
            OSError: it cannot be written.
        """
        root, name = self.folder.parent, path.relative_to(self.folder).as_posix()
        with self._locked():
            if not os.path.lexists(self.folder):
                self._make()
            self._listed()
            disk.append_synced(self.folder / MANIFEST_FILE, f"{name}\n".encode(), root)
            disk.make_folder(path.parent, root)
            disk.replace_synced(path, content, root)

    def clear(self) -> int:
        """Delete what is kept, and the folder where nothing else lies in it; return how many files there were.

        Raises:
            UserError: the folder is not esper's.
            OSError: something cannot be deleted; what is listed and still there stays listed.
        """
        root, count = self.folder.parent, 0
        with self._locked():
            listed = self._listed()
            for path in listed:
                with suppress(FileNotFoundError):
                    disk.remove_file(path, root)
                    count += 1
            folders = {folder for path in listed for folder in path.parents if folder.is_relative_to(self.folder)}
            for folder in sorted(folders, reverse=True):
                self._tidy(folder)
            if not os.path.lexists(self.folder):
                return count
            if {entry.name for entry in self.folder.iterdir()} <= {MANIFEST_FILE, TAG_FILE}:
                rubbish = root / disk.temporary_name()
                disk.rename(self.folder, rubbish, root)
                disk.remove_folder(rubbish, root)
            else:
                disk.cut_synced(self.folder / MANIFEST_FILE, len(_HEAD), root)
        return count

    def _tidy(self, folder: Path) -> None:
        """Remove what killed processes left in a folder, and the folder itself where it is empty and below ours."""
        root = self.folder.parent
        with suppress(FileNotFoundError):
            for entry in folder.iterdir():
                if disk.is_temporary(entry.name):
                    disk.remove_file(entry, root)
            if folder != self.folder and not any(folder.iterdir()):
                disk.remove_folder(folder, root)

    def _manifest(self) -> bytes:
        with disk.opened_file(self.folder / MANIFEST_FILE, os.O_RDONLY, self.folder.parent) as manifest:
            return os.pread(manifest, os.fstat(manifest).st_size, 0)

    def _listed(self) -> list[Path]:
        """Return what the manifest lists; nothing without the folder.

        Raises:
            UserError: the folder is not esper's, or the manifest leads out of it.
        """
        file = self.folder / MANIFEST_FILE
        try:
            content = self._manifest()
        except FileNotFoundError:
            content = b"" if os.path.lexists(self.folder) else _HEAD
        if not content.startswith(_HEAD):
            raise UserError(
                f"{self.folder} was not made by esper: nothing is kept in it, and nothing of it deleted.",
                hint="Move it away, or let ESPER_CACHE name another directory.",
            )
        names = content[len(_HEAD) :].decode(errors="surrogateescape").split("\n")[:-1]
        for name in names:
            if name.startswith("/") or ".." in name.split("/"):
                raise UserError(f"{file} lists '{name}', which lies elsewhere.", hint=f"Remove that line from {file}.")
        return [self.folder / name for name in dict.fromkeys(names)]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        root = self.folder.parent
        root.mkdir(parents=True, exist_ok=True)
        with disk.opened_file(root / LOCK_FILE, os.O_RDWR | os.O_CREAT) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _make(self) -> None:
        """Make the folder with its manifest at once: a process may be killed, and others read without the lock."""
        root = self.folder.parent
        draft = root / disk.temporary_name()
        disk.make_folder(draft, root)
        try:
            disk.create_synced(draft / TAG_FILE, _TAG)
            disk.create_synced(draft / MANIFEST_FILE, _HEAD)
            disk.rename(draft, self.folder, root)
        finally:
            disk.remove_folder(draft, root)


def caches() -> list[Cache]:
    """Return esper's caches in the cache directory, by name; whatever else lies there is not esper's."""
    found = map(Cache, sorted(cache_directory().glob(f"*{SUFFIX}")))
    return [cache for cache in found if cache.is_ours]
