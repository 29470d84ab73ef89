"""What a spike is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Spike(Protocol):
    """Kind `spike`: answers a question about a plan with a verdict. Its factory is called with None for a context."""

    def run(
        self,
        plan: Any,
        index: Any,
        *,
        request: Any = None,
        slots: Sequence[int] | None = None,
        only: str | None = None,
        quick: bool = False,
        on_result: Callable[[Any], None] | None = None,
    ) -> Any:
        """Return an `esper_testing.spikes.verdict.Verdict`.

        Args:
            plan: What the question is about.
            index: Where its components are looked up.
            request: The `esper_core.composition.plan.PlanRequest` that the plan was made from: what the user said, and
                not what follows from defaults.
            slots: Slot counts asked for.
            only: Name of the one part to run.
            quick: Ask less, to be done sooner.
            on_result: Takes in an `esper_testing.spikes.verdict.CheckResult` after every check.

        Raises:
            UserError: the request, `slots` or `only` means nothing to this spike.
        """
        ...


class Work(Protocol):
    """What a spike does to answer, in parts that do not need each other.

    Attributes:
        parts: Names of all parts.
    """

    parts: Sequence[str]

    def do(self, parts: Sequence[str], on_result: Callable[[Any], None] | None = None) -> Iterator[tuple[str, Any]]:
        """Do some parts; yield each, when it is done, with what came of it, JSON-able."""
        ...

    def judge(self, results: Mapping[str, Any]) -> Any:
        """Return the verdict on what came of all parts."""
        ...


@runtime_checkable
class Divisible(Protocol):
    """A `Spike` whose work can be shared out among machines: `run` does and judges what `divide` returns."""

    def divide(
        self,
        plan: Any,
        index: Any,
        *,
        request: Any = None,
        slots: Sequence[int] | None = None,
        only: str | None = None,
        quick: bool = False,
    ) -> Work:
        """Return what is to be done, and do nothing; arguments and errors are those of `run`."""
        ...
