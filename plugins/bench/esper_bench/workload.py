"""What speed is measured on, and the targets of its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from attrs import field, frozen

from esper_core.contracts.protocols import Say


@frozen
class Target:
    """A bound on a figure.

    Attributes:
        figure: Its name; 'table.row' where it is a number in a table.
        bound: The least it should be; the most where smaller is better.
        smaller_is_better: The figure is a cost, such as a time.
    """

    figure: str
    bound: float
    smaller_is_better: bool = field(default=False, kw_only=True)
    meaning: str = field(default="", kw_only=True)

    def is_reached(self, value: float) -> bool:
        """Return whether a measured value is as good as the bound."""
        return value <= self.bound if self.smaller_is_better else value >= self.bound

    def measured_in(self, figures: Mapping[str, Any]) -> Any:
        """Return the figure; raises KeyError where there is none."""
        table, _, row = self.figure.partition(".")
        return figures[table][row] if row else figures[table]

    def __str__(self) -> str:
        return f"{'≤' if self.smaller_is_better else '≥'} {self.bound:g}"


@runtime_checkable
class Workload(Protocol):
    """Kind `workload`: what `esper bench` measures speed on. Its factory is called as `factory(config, None)`.

    Attributes:
        choices: What is trained: fields of an `esper_core.composition.plan.PlanRequest` by name. What the user says
            about the policy and options comes on top.
        targets: What its figures should reach; `measure` gives each of them, quick or not.
    """

    choices: Mapping[str, Any]
    targets: Sequence[Target]

    def measure(self, plan: Any, index: Any, *, quick: bool, say: Say) -> Mapping[str, Any]:
        """Measure, and return JSON-able figures: name → number, table of numbers, or list of rows.

        Quick measures less. Threads within an operation are set already; what holds processes closes them.
        """
        ...

    def evidence(
        self, plan: Any, index: Any, figure: str, figures: Mapping[str, Any], ceilings: Any
    ) -> Mapping[str, Any]:
        """Return JSON-able evidence for how good a figure could be here.

        It is asked for a figure that has missed its target, with all that `measure` gave and the machine's
        `esper_bench.machine.Ceilings`.
        """
        ...
