"""Verdicts: what a spike found, as counts. A check that did not run is never a pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from attrs import asdict, field, fields, filters, frozen

from esper_core.contracts.tuples import as_tuple

Colour = Literal["GREEN", "YELLOW", "RED"]
Outcome = Literal["passed", "failed", "skipped"]
Complexity = Literal["low", "medium", "high"]

EXIT_CODES: Mapping[Colour, int] = {"GREEN": 0, "YELLOW": 0, "RED": 5}
"""Process status of a verdict."""


class CheckResult(NamedTuple):
    """One check that ended."""

    category: str
    check: str
    outcome: Outcome


class Place(NamedTuple):
    """A line of source."""

    file: str
    line: int
    text: str = ""


@frozen(kw_only=True)
class Category:
    """The checks that answer one part of the question.

    Attributes:
        declared: How many checks the spike says there are.
        failed: How many failed, or broke before they could judge.
        skipped: How many were skipped or are expected to fail.
        integration: They look at what surrounds the architecture, such as its environment. A failure here is work to be
            done there and leaves the architecture standing.
    """

    name: str
    declared: int
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    integration: bool = False

    @property
    def missing(self) -> int:
        """Declared checks that did not run."""
        return max(0, self.declared - self.passed - self.failed - self.skipped)

    def to_json(self) -> dict[str, Any]:
        """Return the counts."""
        return asdict(self, filter=filters.exclude(fields(Category).integration))


@frozen(kw_only=True)
class Failure:
    """A check that failed.

    Attributes:
        slots: Number of slots it ran with, or None.
        file: Where it was raised: the deepest frame outside of the checks, if there is one.
        trace: All frames that are not a library's, outermost first.
        params: Parameters of the check by name.
    """

    category: str
    check: str
    slots: int | None
    message: str
    file: str
    line: int
    trace: tuple[Place, ...] = field(default=(), converter=as_tuple, repr=False)
    params: Mapping[str, Any] = field(factory=dict, repr=False)

    def to_json(self) -> dict[str, Any]:
        """Return all that is meant for people."""
        return asdict(self, filter=filters.exclude(fields(Failure).trace, fields(Failure).params))


@frozen(kw_only=True)
class Skip:
    """A check that was skipped, or that failed as its author expected.

    Attributes:
        slots: Number of slots it would have run with, or None.
    """

    category: str
    check: str
    slots: int | None
    reason: str


@frozen(kw_only=True)
class Blocker:
    """Something in the way, and what its removal touches.

    Attributes:
        description: What it is and what it breaks.
        kind: What kind of thing it is; each spike has its own.
        complexity: What removing it costs.
        consumers: Lines that use it and have to follow.
    """

    description: str
    kind: str
    file: str
    line: int
    complexity: Complexity
    consumers: tuple[Place, ...] = field(default=(), converter=as_tuple)

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON-able values."""
        return {**asdict(self, recurse=False), "consumers": [place._asdict() for place in self.consumers]}


@frozen(kw_only=True)
class ProbeResult:
    """What was measured where the right answer is known.

    Attributes:
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


class Section(NamedTuple):
    """A part of a report: its title and Markdown."""

    title: str
    text: str


@frozen(kw_only=True)
class Verdict:
    """What a spike answers.

    Attributes:
        slots: Slot counts it tried; none where slots do not matter.
        skips: The skipped checks, and those that are expected to fail.
        blockers: What the failures come from, by a spike that finds out.
        probes: What was measured, by a spike that measures.
        figures: What else its JSON document holds: key → JSON-able value.
        sections: What else its report says, between the summary and the blockers.
        recommendation: What to do now, for the report.
    """

    spike: str
    policy: str
    slots: tuple[int, ...] = field(default=(), converter=as_tuple)
    categories: tuple[Category, ...] = field(converter=as_tuple)
    failures: tuple[Failure, ...] = field(converter=as_tuple, default=())
    skips: tuple[Skip, ...] = field(converter=as_tuple, default=())
    blockers: tuple[Blocker, ...] = field(converter=as_tuple, default=())
    probes: tuple[ProbeResult, ...] = field(converter=as_tuple, default=())
    figures: Mapping[str, Any] = field(factory=dict)
    sections: tuple[Section, ...] = field(converter=as_tuple, default=())
    recommendation: str = ""
    seconds: float = 0.0

    @property
    def colour(self) -> Colour:
        """What the counts mean.

        RED when a check failed or did not run; YELLOW when checks were skipped, or failed only where the architecture
        meets its surroundings; GREEN when every declared check passed.
        """
        ran = bool(self.categories) and not any(c.missing or not c.declared for c in self.categories)
        if not ran or any(c.failed and not c.integration for c in self.categories):
            return "RED"
        return "YELLOW" if any(c.skipped or c.failed for c in self.categories) else "GREEN"

    @property
    def exit_code(self) -> int:
        """Process status: 5 for RED, else 0."""
        return EXIT_CODES[self.colour]

    def to_json(self) -> dict[str, Any]:
        """Return the verdict as JSON-able values."""
        return {
            "verdict": self.colour,
            "spike": self.spike,
            "policy": self.policy,
            "slots": list(self.slots),
            "categories": [category.to_json() for category in self.categories],
            "failures": [failure.to_json() for failure in self.failures],
            "skips": [asdict(skip) for skip in self.skips],
            "blockers": [blocker.to_json() for blocker in self.blockers],
            "probes": [{**asdict(probe), "seconds": round(probe.seconds, 3)} for probe in self.probes],
            **self.figures,
            "seconds": round(self.seconds, 3),
        }
