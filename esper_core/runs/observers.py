"""The observers of a run. One that fails is off for the rest of the run; training continues."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from attrs import define, field

from esper_core.contracts.foreign import asks_to_stop, described
from esper_core.contracts.protocols import Observer
from esper_core.registry.index import Component, Index

if TYPE_CHECKING:
    from esper_core.learning.trainer import Update
    from esper_core.runs.directory import RunDirectory


@define
class Observers:
    """The observers of one run, called one after the other, each by itself.

    `active` holds those that have not failed, by component, and `failures` the tracebacks of those that did.
    """

    active: dict[str, Observer]
    failures: dict[str, str] = field(factory=dict)
    _say: Callable[[str], None] = field(default=lambda line: None)

    @classmethod
    def build(cls, chosen: Sequence[tuple[Component, Any]], index: Index) -> Observers:
        """Build observers from components and their configs; None is the default options.

        Raises:
            FactoryError, MissingPackage: one cannot be built; nothing has been lost yet.
        """
        from esper_core.composition.build import build_beside

        return cls({str(component): build_beside(component, index, config=config) for component, config in chosen})

    @contextmanager
    def watching(self, run: RunDirectory, say: Callable[[str], None]) -> Iterator[None]:
        """Let observers watch a run within the block, however that ends; `say` takes a line about one that failed."""
        self._say = say
        self._call(lambda observer: observer.on_start(run))
        try:
            yield
        finally:
            self._call(lambda observer: observer.on_finish(run))

    def on_update(self, update: Update) -> None:
        """Show an update to every observer."""
        self._call(lambda observer: observer.on_update(update))

    def _call(self, method: Callable[[Observer], None]) -> None:
        for component, observer in list(self.active.items()):
            try:
                method(observer)
            except BaseException as error:
                if asks_to_stop(error):
                    raise
                del self.active[component]
                self.failures[component] = traceback.format_exc()
                self._say(f"{component} failed and is off for the rest of this run: {described(error)}")
