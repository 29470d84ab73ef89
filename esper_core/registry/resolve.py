"""From a name to a component."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from esper_core.contracts.components import normalise_name
from esper_core.contracts.errors import AmbiguousComponent, UnknownComponent, did_you_mean
from esper_core.registry.first_party import by_kind, undeclared
from esper_core.registry.index import Component, Index, PluginRecord


def split_name(name: str) -> tuple[str | None, str]:
    """Return `(distribution, name)` of `distribution:name`, both normalised; the distribution may be missing."""
    distribution, colon, rest = name.rpartition(":")
    return (normalise_name(distribution) if colon else None), normalise_name(rest)


def resolve(index: Index, kind: str, name: str, pins: Mapping[str, str] | None = None) -> Component:
    """Return the component of a kind that a name means.

    Args:
        index: What is installed.
        kind: Name of the kind.
        name: Name or alias in any spelling, or `distribution:name`; the plugin's id may stand for the distribution.
        pins: `kind/name` → distribution, which settles a name that several distributions provide.

    Raises UnknownComponent, or AmbiguousComponent where several distributions provide it.
    """
    kind = check_kind(index, kind)
    distribution, bare = split_name(name)
    found = named(index, kind, bare) or aliased(index, kind, bare)
    if not found:
        known = index.names(kind)
        aliases = [alias for c in index.of_kind(kind) for alias in c.spec.aliases]
        available = f"Installed here: {', '.join(known)}." if known else f"No {kind} is installed."
        raise UnknownComponent(
            f"No {kind} named '{name}'.{did_you_mean(bare, [*known, *aliases])}",
            hint=f"{available} {absent_plugins(index)}".strip(),
        )
    # A pin settles what a bare name means; whoever writes the distribution has already chosen.
    pin = (pins or {}).get(found[0].key) if distribution is None else None
    if pin is not None:
        distribution = normalise_name(pin)
    chosen = found if distribution is None else tuple(c for c in found if distribution in c.ids)
    if not chosen:
        pinned = "registry.toml pins" if pin is not None else "You asked for"
        raise UnknownComponent(
            f"{pinned} {kind} '{bare}' from '{distribution}', which does not provide it.",
            hint=f"It is provided by {_providers(found)}.",
        )
    if len(chosen) > 1:
        raise AmbiguousComponent(
            f"The {kind} '{bare}' is provided by {_providers(chosen)}.",
            hint=f'Choose \'{chosen[0].qualified}\', or pin "{chosen[0].key}" = "{chosen[0].distribution}" '
            "under [resolve] in registry.toml.",
        )
    return chosen[0]


def named(index: Index, kind: str, bare: str) -> tuple[Component, ...]:
    """Return the components of a kind with this name, whatever distribution they come from."""
    return tuple(c for c in index.of_kind(kind) if c.name == bare)


def aliased(index: Index, kind: str, bare: str) -> tuple[Component, ...]:
    """Return the components of a kind with this alias."""
    return tuple(c for c in index.of_kind(kind) if bare in c.aliases)


def find_plugin(index: Index, name: str) -> PluginRecord:
    """Return the plugin with this id, or the only one of this distribution; raises UserError."""
    wanted = normalise_name(name)
    by_id = [record for record in index.plugins if normalise_name(record.plugin) == wanted]
    if by_id:
        # Of two with one id the second has failed, so the first is meant; its distribution names the other.
        return by_id[0]
    found = [record for record in index.plugins if normalise_name(record.distribution) == wanted]
    if len(found) > 1:
        names = ", ".join(record.plugin for record in found)
        raise AmbiguousComponent(f"The distribution '{name}' brings several plugins.", hint=f"Name one: {names}.")
    if found:
        return found[0]
    known = [name for record in index.plugins for name in (record.plugin, record.distribution)]
    raise UnknownComponent(
        f"There is no plugin '{name}'.{did_you_mean(wanted, known)}",
        hint=f"Installed here: {', '.join(record.plugin for record in index.plugins)}.",
    )


def check_kind(index: Index, kind: str) -> str:
    """Return the canonical name of a declared kind; raises UnknownComponent."""
    canonical = normalise_name(kind)
    if canonical not in index.kinds:
        lost = [said for said, first in by_kind(index.unavailable) if first.component.kind == canonical]
        reason = undeclared(canonical, index.plugins)
        said = lost or ([f"{reason[0].upper()}{reason[1:]}"] if reason else [])
        hint = " ".join([f"Kinds here: {', '.join(sorted(index.kinds)) or 'none'}.", *said, absent_plugins(index)])
        raise UnknownComponent(f"There is no kind '{kind}'.{did_you_mean(canonical, index.kinds)}", hint=hint.strip())
    return canonical


def absent_plugins(index: Index) -> str:
    """Return sentences that name the plugins that failed to load or are switched off, or an empty string."""
    failed = [f"{r.plugin} ({r.origin}: {r.error})" for r in index.failures]
    off = [str(r) for r in index.plugins if r.status == "disabled"]
    said = [f"Failed to load, and may provide it: {'; '.join(failed)}. See: esper plugins doctor"] if failed else []
    return " ".join([*said, f"Switched off, and may provide it: {', '.join(off)}."] if off else said)


def absence(index: Index, distribution: str) -> str:
    """Return why a distribution does not bring a component that was recorded, in two words."""
    wanted = normalise_name(distribution)
    off = any(r.status == "disabled" and normalise_name(r.distribution) == wanted for r in index.plugins)
    return "switched off" if off else "not installed"


def _providers(components: Iterable[Component]) -> str:
    return " and ".join(component.origin for component in components)
