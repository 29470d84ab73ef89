"""What is expensive to make and can be made again: kept on disk, listed, and cleared without touching anything else."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from attrs import frozen

from esper_core.contracts.errors import UserError
from esper_core.system.files import (
    append_synced,
    create_synced,
    is_temporary,
    make_folder,
    open_file,
    opened_file,
    opened_folder,
    remove_file,
    remove_folder,
    rename,
    replace_synced,
    temporary_name,
)

CACHE_VARIABLE = "ESPER_CACHE"
SUFFIX = ".cache"
MANIFEST_FILE = "MANIFEST"
TAG_FILE = "CACHEDIR.TAG"
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

    Any number of processes may keep and clear at once: whoever changes the folder holds a lock on the manifest. A
    folder without one is somebody else's, and so is a file that the manifest does not list.

    Attributes:
        folder: The folder; it need not be there.
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

    def files(self) -> list[Path]:
        """Return the files that are kept, those alone which `clear` deletes; raises OSError."""
        try:
            with opened_file(self.folder / MANIFEST_FILE, os.O_RDONLY, self.folder.parent) as manifest:
                return [path for path in self._listed(manifest) if os.path.lexists(path)]
        except FileNotFoundError:
            return []

    def keep(self, path: Path, content: bytes) -> None:
        """Put a file below the folder, all of it or nothing, and list it.

        Raises:
            UserError: the folder is somebody else's.
            OSError: it cannot be written.
        """
        name = path.relative_to(self.folder).as_posix()
        with self._locked():
            append_synced(self.folder / MANIFEST_FILE, f"{name}\n".encode(), self.folder.parent)
            make_folder(path.parent, self.folder.parent)
            replace_synced(path, content, self.folder.parent)

    def clear(self) -> int:
        """Delete what is kept, and the folder where nothing else lies in it; return how many files there were.

        Raises:
            UserError: the folder is somebody else's.
            OSError: something cannot be deleted; what is listed and still there stays listed.
        """
        root, count = self.folder.parent, 0
        with self._locked() as manifest:
            listed = self._listed(manifest)
            for path in listed:
                with suppress(FileNotFoundError):
                    remove_file(path, root)
                    count += 1
            folders = {folder for path in listed for folder in path.parents if folder.is_relative_to(self.folder)}
            for folder in sorted(folders | {self.folder}, key=lambda folder: -len(folder.parts)):
                self._tidy(folder)
            if {entry.name for entry in self.folder.iterdir()} <= {MANIFEST_FILE, TAG_FILE}:
                # Whoever waits for the lock finds another folder under this name then, or none.
                rubbish = root / temporary_name()
                rename(self.folder, rubbish, root)
                remove_folder(rubbish, root)
            else:
                os.ftruncate(manifest, len(_HEAD))
        return count

    def _tidy(self, folder: Path) -> None:
        """Remove what killed processes left in a folder, and the folder itself where it is empty and below ours."""
        root = self.folder.parent
        with suppress(FileNotFoundError):
            for entry in folder.iterdir():
                if is_temporary(entry.name):
                    remove_file(entry, root)
            if folder != self.folder and not any(folder.iterdir()):
                remove_folder(folder, root)

    @property
    def is_ours(self) -> bool:
        """Whether the folder is there and esper made it."""
        try:
            with opened_file(self.folder / MANIFEST_FILE, os.O_RDONLY, self.folder.parent) as manifest:
                return _is_manifest(manifest)
        except OSError:
            return False

    def _listed(self, manifest: int) -> list[Path]:
        if not _is_manifest(manifest):
            raise self._foreign()
        content = os.pread(manifest, os.fstat(manifest).st_size, 0)
        names = content[len(_HEAD) :].decode(errors="surrogateescape").split("\n")[:-1]
        for name in names:
            if name.startswith("/") or ".." in name.split("/"):
                file = self.folder / MANIFEST_FILE
                raise UserError(f"{file} lists '{name}', which lies elsewhere.", hint=f"Remove that line from {file}.")
        return [self.folder / name for name in dict.fromkeys(names)]

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """Hold the lock of the manifest and yield its descriptor; the folder is made where there is none."""
        manifest = self._acquire()
        try:
            yield manifest
        finally:
            os.close(manifest)

    def _acquire(self) -> int:
        file, root = self.folder / MANIFEST_FILE, self.folder.parent
        while True:
            if not os.path.lexists(self.folder):
                self._make()
            # Another process may clear the cache at any moment; then all begins anew.
            with suppress(FileNotFoundError), opened_folder(self.folder, root) as held:
                try:
                    manifest = open_file(file, os.O_RDWR, root)
                except FileNotFoundError as error:
                    if os.path.samestat(os.fstat(held), os.lstat(self.folder)):
                        raise self._foreign() from error
                    continue
                try:
                    fcntl.flock(manifest, fcntl.LOCK_EX)
                    if os.path.samestat(os.fstat(manifest), os.lstat(file)):
                        if not _is_manifest(manifest):
                            raise self._foreign()
                        return manifest
                except BaseException:
                    os.close(manifest)
                    raise
                os.close(manifest)

    def _make(self) -> None:
        """Make the folder with its manifest at once, so that no other process sees it without."""
        root = self.folder.parent
        root.mkdir(parents=True, exist_ok=True)
        draft = root / temporary_name()
        make_folder(draft, root)
        try:
            create_synced(draft / TAG_FILE, _TAG)
            create_synced(draft / MANIFEST_FILE, _HEAD)
            rename(draft, self.folder, root)
        except OSError as error:
            # Another process made it first, and may have cleared it since.
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY) and not os.path.lexists(self.folder):
                raise
        finally:
            remove_folder(draft, root)

    def _foreign(self) -> UserError:
        return UserError(
            f"{self.folder} was not made by esper: nothing is kept in it, and nothing of it deleted.",
            hint="Move it away, or let ESPER_CACHE name another directory.",
        )


def _is_manifest(descriptor: int) -> bool:
    return os.pread(descriptor, len(_HEAD), 0) == _HEAD


def caches() -> list[Cache]:
    """Return esper's caches in the cache directory, by name; whatever else lies there is somebody else's."""
    found = map(Cache, sorted(cache_directory().glob(f"*{SUFFIX}")))
    return [cache for cache in found if cache.is_ours]
