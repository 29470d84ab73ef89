"""Static curves: how accurate the same host gets when nothing is grown, trained once per instance and kept on disk."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import shlex
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from attrs import frozen

from esper_core.contracts.cache import cache_directory, cache_folder
from esper_core.contracts.errors import DamagedFile, UserError
from esper_core.contracts.reading import read_json
from esper_core.contracts.shape import shaped

CACHE = "static"
"""Name of the cache."""

Train = Callable[[Sequence[int]], list[list[float]]]


def source_digest(*objects: object) -> str:
    """Return a digest of all sources of this package and of the files that define the given objects' types."""
    ours = (file for file in Path(__file__).parent.rglob("*") if file.suffix in (".py", ".cpp"))
    files = {*ours} | {Path(inspect.getfile(type(item))) for item in objects}
    return hashlib.sha256(b"".join(file.read_bytes() for file in sorted(files))).hexdigest()[:16]


@frozen
class Curve:
    """The shape of a file of the cache."""

    accuracy: list[float]


@frozen
class StaticCurves:
    """Validation accuracies of static hosts.

    Attributes:
        key: Everything the curves depend on: task, host, slots, epochs, optimiser, runtime, dtype, versions.
        train: Trains missing instances and returns their accuracies after every epoch.
        directory: Where curves are kept.
    """

    key: dict[str, str | int | float]
    train: Train
    directory: Path

    @classmethod
    def at(cls, key: dict[str, str | int | float], train: Train) -> StaticCurves:
        """Return the curves for `key` in the cache directory."""
        machine = {"torch": torch.__version__, "capability": torch.backends.cpu.get_cpu_capability()}
        key = {**key, **machine}
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
        return cls(key, train, cache_directory() / CACHE / digest)

    def get(self, instances: Sequence[int]) -> dict[int, list[float]]:
        """Return the accuracies after every epoch per instance; missing ones are trained and kept.

        Raises:
            UserError: the cache cannot be read or written.
            DamagedFile: a file in it is damaged.
        """
        wanted = sorted(set(instances))
        missing = [instance for instance in wanted if not self._path(instance).is_file()]
        if missing:
            for instance, curve in zip(missing, self.train(missing), strict=True):
                self._write(instance, curve)
        return {instance: self._read(instance) for instance in wanted}

    def _path(self, instance: int) -> Path:
        return self.directory / f"{instance}.json"

    def _read(self, instance: int) -> list[float]:
        path = self._path(instance)
        try:
            return shaped(Curve, read_json(path), str(path)).accuracy
        except OSError as error:
            raise UserError(f"The static curve {path} cannot be read: {error.strerror or error}.") from error
        except DamagedFile as error:
            error.hint = f"It is a static curve, and trained again when it is not there: rm {shlex.quote(str(path))}"
            raise

    def _write(self, instance: int, curve: list[float]) -> None:
        try:
            cache_folder(CACHE)
            self.directory.mkdir(parents=True, exist_ok=True)
            # Several runs may train the same instance at once; a rename is atomic and all write the same numbers.
            with tempfile.NamedTemporaryFile("w", dir=self.directory, suffix=".tmp", delete=False) as file:
                json.dump({"key": self.key, "instance": instance, "accuracy": curve}, file)
                file.flush()
                os.fsync(file.fileno())
            Path(file.name).replace(self._path(instance))
        except OSError as error:
            raise UserError(
                f"The static curve of instance {instance} cannot be kept in {self.directory}: {error.strerror}.",
                hint="Set ESPER_CACHE to a directory that can be written.",
            ) from error
