"""Whether the same is installed on all ranks; where it is not, a table. Processors may differ, with a warning."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from attrs import frozen

from esper_core.contracts.errors import EsperError, UserError
from esper_core.runs import provenance
from esper_core.system.machine import libraries

if TYPE_CHECKING:
    from esper_core.composition.plan import Plan
    from esper_core.registry.index import Index


@frozen
class Facts:
    """What a rank's numbers depend on.

    Attributes:
        machine: Where it is.
        capability: What its processor can do, as torch's kernels are chosen.
        installed: Versions of libraries, and of distributions with the digests of their sources.
    """

    machine: str
    capability: str
    installed: dict[str, str]

    @classmethod
    def here(cls, plan: Plan, index: Index) -> Facts:
        """Return what is true here; what the plan needs and is not installed is missing from it."""
        import torch

        try:
            found = provenance.distributions(plan, index)
        except EsperError:
            found = {}
        sources = {name: f"{entry['version']} (source {entry['source']})" for name, entry in found.items()}
        return cls(platform.node(), torch.backends.cpu.get_cpu_capability(), {**sources, **libraries()})

    def record(self) -> dict[str, Any]:
        """Return what is recorded of a rank in `run.json`."""
        return {"machine": self.machine, "capability": self.capability}


def difference(facts: Sequence[Facts]) -> UserError | None:
    """Return the error that other ranks have something else installed than rank 0, if that is so."""
    first, rows = facts[0], [("", "rank 0", "", "")]
    for rank, other in enumerate(facts[1:], start=1):
        for name in sorted({*first.installed, *other.installed}):
            here, there = (known.installed.get(name, "not installed") for known in (first, other))
            if here != there:
                rows.append((name, here, f"rank {rank} on {other.machine}", there))
    if len(rows) == 1:
        return None
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = ["  ".join(f"{cell:{width}}" for cell, width in zip(row, (*widths, 0), strict=True)) for row in rows]
    table = "\n".join(f"  {line}".rstrip() for line in lines)
    return UserError(
        f"Ranks have different things installed, so their numbers would differ:\n{table}",
        hint="Install the same everywhere, such as from one constraints.txt, or from one folder that all machines see.",
    )


def different_processors(facts: Sequence[Facts]) -> tuple[str, ...]:
    """Return a sentence where processors differ; none where they are equal."""
    found = sorted({known.capability for known in facts})
    if len(found) == 1:
        return ()
    return (f"Ranks compute with {' and '.join(found)}: what one process would train differs a little from this.",)
