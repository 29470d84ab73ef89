"""What each distribution that the core names as an extra brings, to say what to install when it is missing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from operator import attrgetter

from esper_core.registry.index import Index, PluginRecord, Unavailable
from esper_core.system.packages import pip_install

COMMANDS: Mapping[str, str] = {
    "bench": "esper-bench",
    "evaluate": "esper-evaluation",
    "export": "esper-evaluation",
    "league": "esper-league",
    "matrix": "esper-testing",
    "plugins check": "esper-testing",
    "plugins new": "esper-testing",
    "report": "esper-evaluation",
    "runs compare": "esper-evaluation",
    "spike": "esper-testing",
    "variance": "esper-evaluation",
}
"""Command → the distribution that brings it."""

KINDS: Mapping[str, str] = {"rule": "esper-evaluation", "spike": "esper-testing", "workload": "esper-bench"}
"""Kind → the distribution that declares it."""


def state_and_remedy(distribution: str, plugins: Iterable[PluginRecord]) -> tuple[str, str]:
    """Return why a distribution does not bring what it should, and what to do about it."""
    record = next((record for record in plugins if record.distribution == distribution), None)
    if record is None:
        return "is not installed", pip_install([distribution])
    state = "is switched off" if record.status == "disabled" else f"failed to load: {record.error}"
    return state, "See: esper plugins doctor"


def undeclared(kind: str, plugins: Iterable[PluginRecord]) -> str:
    """Return why nobody declares a kind; empty for one that is not first-party."""
    if kind not in KINDS:
        return ""
    state, remedy = state_and_remedy(KINDS[kind], plugins)
    return f"the kind '{kind}' belongs to {KINDS[kind]}, which {state}. {remedy}"


def is_optional(lost: Unavailable, index: Index) -> bool:
    """Return whether a component only waits for a distribution that is not installed, or is switched off."""
    owner = KINDS.get(lost.component.kind)
    return owner is not None and owner not in {r.distribution for r in index.plugins if r.status != "disabled"}


def by_kind(unavailable: Iterable[Unavailable]) -> Iterator[tuple[str, Unavailable]]:
    """Yield one sentence for all unavailable components of a kind and reason, and the first of them."""
    key = attrgetter("component.kind", "reason")
    for (kind, reason), group in groupby(sorted(unavailable, key=key), key):
        first, *others = lost = list(group)
        label, are = str(first.component), "is"
        if others:
            origins = " and ".join(dict.fromkeys(one.component.origin for one in lost))
            label, are = f"{kind} {', '.join(repr(one.component.name) for one in lost)} ({origins})", "are"
        yield f"{label} {are} unavailable: {reason}", first
