"""Static curves: the accuracy of the same host when nothing is grown, trained once per instance and kept on disk."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from attrs import frozen

from esper_core.contracts.errors import DamagedFile, UserError
from esper_core.registry.sources import made_with
from esper_core.system.cache import Cache
from esper_core.system.json_files import read_json
from esper_core.system.shape import shaped
from esper_growth.engine.compiler import processor

CACHE = "static"
"""Name of the cache."""

OTHER_CACHE = "Set ESPER_CACHE to a directory that can be read and written."

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
        cache: Where curves are kept.
    """

    key: Mapping[str, Any]
    modules: Modules
    train: Train
    cache: Cache

    @classmethod
    def at(cls, key: Mapping[str, Any], modules: Modules, train: Train) -> StaticCurves:
        """Return the curves for `key` in the cache directory."""
        machine = {
            "processor": hashlib.sha256(processor().encode()).hexdigest()[:16],
            "capability": torch.backends.cpu.get_cpu_capability(),
        }
        cache = Cache.named(CACHE)
        return cls({**key, **machine}, modules, train, cache)

    def get(self, instances: Sequence[int]) -> dict[int, list[float]]:
        """Return the accuracies after every epoch per instance; missing ones are trained and kept.

        Raises:
            UserError: the cache cannot be read or written.
            DamagedFile: a file in it is damaged.
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

    def full_key(self, instance: int) -> dict[str, Any]:
        """Return everything that an instance's curve depends on, JSON-able."""
        return {**self.key, **made_with({__name__, *self.modules(instance)})}

    def _path(self, instance: int) -> Path:
        digest = hashlib.sha256(json.dumps(self.full_key(instance), sort_keys=True).encode()).hexdigest()[:16]
        return self.cache.folder / digest / f"{instance}.json"

    def _read(self, instance: int) -> list[float] | None:
        path = self._path(instance)
        try:
            return shaped(Curve, read_json(path), str(path)).accuracy
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            reason = error.strerror or error
            raise UserError(f"The static curve {path} cannot be read: {reason}.", hint=OTHER_CACHE) from error
        except DamagedFile as error:
            error.hint = f"It is a static curve, and trained again when it is not there: rm {shlex.quote(str(path))}"
            raise

    def _write(self, instance: int, curve: list[float]) -> None:
        content = json.dumps({"key": self.full_key(instance), "instance": instance, "accuracy": curve})
        try:
            # Several runs may train the same instance at once: all write the same numbers.
            self.cache.keep(self._path(instance), content.encode())
        except OSError as error:
            raise UserError(
                f"The static curve of instance {instance} cannot be kept in {self.cache.folder}: {error.strerror}.",
                hint=OTHER_CACHE,
            ) from error
