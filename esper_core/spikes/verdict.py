"""Verdicts: what a spike found, as counts. A check that did not run is never a pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from attrs import asdict, field, frozen

from esper_core.contracts.tuples import as_tuple

Colour = Literal["GREEN", "YELLOW", "RED"]
Outcome = Literal["passed", "failed", "skipped"]

RED_EXIT_CODE = 5


class CheckResult(NamedTuple):
    """One check that ended."""

    category: str
    check: str
    outcome: Outcome


@frozen(kw_only=True)
class Category:
    """The checks that answer one part of the question.

    Attributes:
        name: What they are about.
        declared: How many checks the spike says there are.
        passed: How many passed.
        failed: How many failed, or broke before they could judge.
        skipped: How many were skipped or are expected to fail.
    """

    name: str
    declared: int
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    @property
    def missing(self) -> int:
        """Declared checks that did not run."""
        return max(0, self.declared - self.passed - self.failed - self.skipped)


@frozen(kw_only=True)
class Failure:
    """A check that failed.

    Attributes:
        category: Its category.
        check: Its name.
        slots: Number of slots it ran with, or None.
        message: What was wrong.
        file: Where it was raised: the deepest frame outside of the checks, if there is one.
        line: Line in that file.
    """

    category: str
    check: str
    slots: int | None
    message: str
    file: str
    line: int


@frozen(kw_only=True)
class ProbeResult:
    """What was measured where the right answer is known.

    Attributes:
        name: The probe.
        expected: The right answer, for people.
        measured: Quantity → one number per run; None where a run broke.
        passed: Whether what was measured is what is expected.
        seconds: How long all its runs took, one after another.
    """

    name: str
    expected: str
    measured: Mapping[str, tuple[float | None, ...]]
    passed: bool
    seconds: float


@frozen(kw_only=True)
class Verdict:
    """What a spike answers.

    Attributes:
        spike: Name of the spike.
        policy: Name of the policy it looked at.
        slots: Slot counts it tried; none where slots do not matter.
        categories: Counts per category.
        failures: The failed checks.
        probes: What was measured, by a spike that measures.
        seconds: How long it took.
    """

    spike: str
    policy: str
    slots: tuple[int, ...] = field(default=(), converter=as_tuple)
    categories: tuple[Category, ...] = field(converter=as_tuple)
    failures: tuple[Failure, ...] = field(converter=as_tuple, default=())
    probes: tuple[ProbeResult, ...] = field(converter=as_tuple, default=())
    seconds: float = 0.0

    @property
    def colour(self) -> Colour:
        """GREEN when every declared check passed, YELLOW when some were skipped, RED when one failed or did not run."""
        if not self.categories or any(c.failed or c.missing or not c.declared for c in self.categories):
            return "RED"
        return "YELLOW" if any(c.skipped for c in self.categories) else "GREEN"

    @property
    def exit_code(self) -> int:
        """Process status: 5 for RED, else 0."""
        return RED_EXIT_CODE if self.colour == "RED" else 0

    def to_json(self) -> dict[str, Any]:
        """Return the verdict as JSON-able values."""
        return {
            "verdict": self.colour,
            "spike": self.spike,
            "policy": self.policy,
            "slots": list(self.slots),
            "categories": [asdict(category) for category in self.categories],
            "failures": [asdict(failure) for failure in self.failures],
            "probes": [{**asdict(probe), "seconds": round(probe.seconds, 3)} for probe in self.probes],
            "seconds": round(self.seconds, 3),
        }
