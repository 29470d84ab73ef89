"""A suite: the declared checks of a kind, in the order in which they run."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from attrs import define, field, frozen

from esper_core.contracts.tuples import as_tuple

BUILT = "built"
"""The check of the common suite that all checks of a kind depend on."""


CheckFunction = Callable[[Any], Any]
"""Takes in a subject: a component, or a command."""


class Skip(Exception):
    """Raised by a check that cannot be made here; the message says why. The verdict becomes YELLOW."""


@frozen
class Check:
    """One check.

    Attributes:
        run: Takes in the subject; raises AssertionError, or whatever a broken component raises.
        after: Checks that must have passed, because nothing can be said otherwise.
        claim: Capability a component must provide for the check to concern it; None concerns all.
    """

    name: str
    run: CheckFunction
    after: tuple[str, ...] = field(default=(), converter=as_tuple)
    claim: str | None = None

    @property
    def summary(self) -> str:
        """First line of the function's docstring."""
        return (inspect.getdoc(self.run) or "").partition("\n")[0]


@define
class Suite:
    """The checks of one kind, or of commands.

    Attributes:
        kind: Name of the kind; empty for the suite of all kinds.
        declared: Names of the checks, in order. A name without a check makes every verdict RED, so that a lost check
            is never a pass.
    """

    kind: str
    declared: tuple[str, ...] = field(converter=as_tuple)
    _checks: dict[str, Check] = field(factory=dict, init=False)

    def check(
        self, name: str, *, after: Iterable[str] = (BUILT,), claim: str | None = None
    ) -> Callable[[CheckFunction], CheckFunction]:
        """Add the decorated function as the check of a declared name.

        Raises:
            ValueError: a name that is not declared, or has its check already.
        """
        if name not in self.declared or name in self._checks:
            raise ValueError(f"'{name}' is not declared by the suite of '{self.kind}', or it has its check already")

        def add(function: CheckFunction) -> CheckFunction:
            self._checks[name] = Check(name, function, tuple(after), claim)
            return function

        return add

    def find(self, name: str) -> Check | None:
        """Return the check of a declared name; None where it got lost."""
        return self._checks.get(name)

    @property
    def checks(self) -> tuple[Check, ...]:
        """The checks that there are, in declared order."""
        return tuple(self._checks[name] for name in self.declared if name in self._checks)
