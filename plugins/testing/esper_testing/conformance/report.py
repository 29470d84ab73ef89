"""What came of checking components: one row per check, and a verdict."""

from __future__ import annotations

from typing import Any, Literal

from attrs import asdict, field, frozen

from esper_core.contracts.tuples import as_tuple
from esper_testing.spikes.verdict import EXIT_CODES, Colour

Status = Literal["passed", "failed", "blocked", "skipped", "expected", "missing"]
"""How a check ended. `expected`: it failed and its author said so; `missing`: declared, and it does not exist."""


@frozen(kw_only=True)
class Result:
    """One check of one component.

    Attributes:
        component: `kind/name`.
        message: What was wrong, or why it did not run.
        file: Where it was raised: in the plugin where possible.
        line: Line in that file; 0 where nothing was raised.
    """

    component: str
    name: str
    status: Status
    message: str = ""
    file: str = ""
    line: int = 0


@frozen(kw_only=True)
class Conformance:
    """All checks of what was checked."""

    subject: str
    checks: tuple[Result, ...] = field(converter=as_tuple)
    seconds: float = 0.0

    @property
    def colour(self) -> Colour:
        """GREEN when every declared check ran and passed, YELLOW with expected failures or skips, else RED."""
        statuses = {result.status for result in self.checks}
        if not statuses or statuses & {"failed", "blocked", "missing"}:
            return "RED"
        return "YELLOW" if statuses & {"skipped", "expected"} else "GREEN"

    @property
    def exit_code(self) -> int:
        """Process status: 5 for RED, else 0."""
        return EXIT_CODES[self.colour]

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON-able values."""
        return {
            "verdict": self.colour,
            "subject": self.subject,
            "checks": [asdict(result) for result in self.checks],
            "seconds": round(self.seconds, 3),
        }
