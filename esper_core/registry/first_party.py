"""What belongs to which of the distributions that the core names as its extras, to say what to install."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from esper_core.registry.index import Component, Index, PluginRecord, Unavailable
from esper_core.system.packages import pip_install

COMMANDS: Mapping[str, str] = {
    "bench": "esper-bench",
    "evaluate": "esper-evaluation",
    "export": "esper-evaluation",
    "matrix": "esper-testing",
    "plugins check": "esper-testing",
    "plugins new": "esper-testing",
    "report": "esper-evaluation",
    "runs compare": "esper-evaluation",
    "spike": "esper-testing",
}
"""Command → the distribution that brings it."""

KINDS: Mapping[str, str] = {"rule": "esper-evaluation", "spike": "esper-testing", "workload": "esper-bench"}
"""Kind → the distribution that declares it."""


def missing(distribution: str, plugins: Iterable[PluginRecord]) -> tuple[str, str]:
    """Return what became of a distribution that brings something, and what to do about it."""
    found = [record for record in plugins if record.distribution == distribution]
    if not found:
        return "is not installed", pip_install([distribution])
    if found[0].status == "disabled":
        return "is switched off", "See: esper plugins doctor"
    return f"failed to load: {found[0].error}", "See: esper plugins doctor"


def undeclared(kind: str, plugins: Iterable[PluginRecord]) -> str:
    """Return why nobody declares a kind; empty for one that is not first-party."""
    if kind not in KINDS:
        return ""
    state, remedy = missing(KINDS[kind], plugins)
    return f"the kind '{kind}' belongs to {KINDS[kind]}, which {state}. {remedy}"


def is_optional(lost: Unavailable, index: Index) -> bool:
    """Return whether a component only waits for a distribution that is not installed, or is switched off."""
    owner = KINDS.get(lost.component.kind)
    return owner is not None and owner not in {r.distribution for r in index.plugins if r.status != "disabled"}


def by_kind(unavailable: Iterable[Unavailable]) -> Iterator[tuple[str, Unavailable]]:
    """Yield what is unavailable, said once for all components of a kind, and the first of them."""

    def key(lost: Unavailable) -> tuple[str, str]:
        return lost.component.kind, lost.reason

    for (kind, reason), group in groupby(sorted(unavailable, key=key), key):
        first, *others = lost = list(group)
        if not others:
            yield f"{first.component} is unavailable: {reason}", first
            continue
        yield f"{_named(kind, [one.component for one in lost])} are unavailable: {reason}", first


def _named(kind: str, components: list[Component]) -> str:
    """Return one phrase for components of a kind, with where they come from."""
    origins = " and ".join(dict.fromkeys(component.origin for component in components))
    return f"{kind} {', '.join(repr(component.name) for component in components)} ({origins})"
