"""Static curves: how accurate the same host gets when nothing is grown, trained once per instance and kept on disk."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from attrs import frozen

from esper_core.contracts.cache import Cache
from esper_core.contracts.errors import UserError

CACHE = "static"
"""Name of the cache."""

OTHER_CACHE = "Set ESPER_CACHE to a directory that can be read and written."

Train = Callable[[Sequence[int]], list[list[float]]]


def source_digest(*objects: object) -> str:
    """Return a digest of all sources of this package and of the files that define the given objects' types."""
    ours = (file for file in Path(__file__).parent.rglob("*") if file.suffix in (".py", ".cpp"))
    files = {*ours} | {Path(inspect.getfile(type(item))) for item in objects}
    return hashlib.sha256(b"".join(file.read_bytes() for file in sorted(files))).hexdigest()[:16]


@frozen
class StaticCurves:
    """Validation accuracies of static hosts.

    Attributes:
        key: Everything the curves depend on: task, host, slots, epochs, optimiser, runtime, dtype, versions.
        train: Trains missing instances and returns their accuracies after every epoch.
        cache: Where curves are kept.
        directory: Folder of the cache in which those of this key lie.
    """

    key: dict[str, str | int | float]
    train: Train
    cache: Cache
    directory: Path

    @classmethod
    def at(cls, key: dict[str, str | int | float], train: Train) -> StaticCurves:
        """Return the curves for `key` in the cache directory."""
        machine = {"torch": torch.__version__, "capability": torch.backends.cpu.get_cpu_capability()}
        key = {**key, **machine}
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
        cache = Cache.named(CACHE)
        return cls(key, train, cache, cache.folder / digest)

    def get(self, instances: Sequence[int]) -> dict[int, list[float]]:
        """Return the accuracies after every epoch per instance; missing ones are trained and kept.

        Raises:
            UserError: the cache cannot be read or written, or a file in it is damaged.
        """
        wanted = sorted(set(instances))
        # Somebody may clear the cache while others are trained: what was read or trained is not read again.
        curves = {instance: self._read(instance) for instance in wanted}
        missing = [instance for instance, curve in curves.items() if curve is None]
        if missing:
            for instance, curve in zip(missing, self.train(missing), strict=True):
                curves[instance] = curve
                self._write(instance, curve)
        return {instance: curve for instance, curve in curves.items() if curve is not None}

    def _path(self, instance: int) -> Path:
        return self.directory / f"{instance}.json"

    def _read(self, instance: int) -> list[float] | None:
        path = self._path(instance)
        try:
            return [float(value) for value in json.loads(path.read_text())["accuracy"]]
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise UserError(f"The static curve {path} cannot be read: {error.strerror}.", hint=OTHER_CACHE) from error
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"The static curve {path} is damaged ({error}).", hint=f"Delete it: rm {path}") from error

    def _write(self, instance: int, curve: list[float]) -> None:
        content = json.dumps({"key": self.key, "instance": instance, "accuracy": curve})
        try:
            # Several runs may train the same instance at once: all write the same numbers.
            self.cache.keep(self._path(instance), content.encode())
        except OSError as error:
            raise UserError(
                f"The static curve of instance {instance} cannot be kept in {self.directory}: {error.strerror}.",
                hint=OTHER_CACHE,
            ) from error
