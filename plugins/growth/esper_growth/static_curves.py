"""Static curves: how accurate the same host gets when nothing is grown, trained once per instance and kept on disk."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from attrs import frozen

from esper_core.contracts.cache import cache_directory, cache_folder
from esper_core.contracts.errors import DamagedFile, UserError
from esper_core.contracts.reading import read_json
from esper_core.contracts.shape import shaped
from esper_core.registry.sources import made_with
from esper_growth.fused.compiler import processor

CACHE = "static"
"""Name of the cache."""

Train = Callable[[Sequence[int]], list[list[float]]]

Modules = Callable[[int], Collection[str]]
"""From the number of an instance to the modules of what it trains."""


@frozen
class Curve:
    """The shape of a file of the cache."""

    accuracy: list[float]


@frozen
class StaticCurves:
    """Validation accuracies of static hosts.

    Attributes:
        key: What all curves depend on, JSON-able: task, host, slots, epochs, optimiser, runtime, kernels, processor.
        modules: The code that an instance's curve depends on beside this package's.
        train: Trains missing instances and returns their accuracies after every epoch.
        directory: Where curves are kept.
    """

    key: Mapping[str, Any]
    modules: Modules
    train: Train
    directory: Path

    @classmethod
    def at(cls, key: Mapping[str, Any], modules: Modules, train: Train) -> StaticCurves:
        """Return the curves for `key` in the cache directory."""
        machine = {
            "processor": hashlib.sha256(processor().encode()).hexdigest()[:16],
            "capability": torch.backends.cpu.get_cpu_capability(),
        }
        return cls({**key, **machine}, modules, train, cache_directory() / CACHE)

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

    def full_key(self, instance: int) -> dict[str, Any]:
        """Return everything that an instance's curve depends on, JSON-able."""
        return {**self.key, **made_with({__name__, *self.modules(instance)})}

    def _path(self, instance: int) -> Path:
        digest = hashlib.sha256(json.dumps(self.full_key(instance), sort_keys=True).encode()).hexdigest()[:16]
        return self.directory / digest / f"{instance}.json"

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
        path = self._path(instance)
        try:
            cache_folder(CACHE)
            path.parent.mkdir(parents=True, exist_ok=True)
            # Several runs may train the same instance at once; a rename is atomic and all write the same numbers.
            with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".tmp", delete=False) as file:
                json.dump({"key": self.full_key(instance), "instance": instance, "accuracy": curve}, file)
                file.flush()
                os.fsync(file.fileno())
            Path(file.name).replace(path)
        except OSError as error:
            raise UserError(
                f"The static curve of instance {instance} cannot be kept in {self.directory}: {error.strerror}.",
                hint="Set ESPER_CACHE to a directory that can be written.",
            ) from error
