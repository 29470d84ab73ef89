"""How a name resolves, and what would change that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import evolve, frozen

from esper_core.composition.recipes import Recipes
from esper_core.contracts.components import normalise_name
from esper_core.contracts.errors import UserError
from esper_core.diagnosis.switches import Switches
from esper_core.registry.index import Component, Index, PluginRecord
from esper_core.registry.resolve import aliased, check_kind, named, resolve, split_name


@frozen
class Candidate:
    """A component that has the name; `found_by` is 'name' or 'alias', `outcome` says why it was chosen or not."""

    component: Component
    record: PluginRecord
    found_by: str
    chosen: bool
    outcome: str


@frozen(kw_only=True)
class Explanation:
    """How `KIND/NAME` resolves.

    Attributes:
        name: The name as it is looked up, without distribution.
        distribution: Distribution or plugin that was asked for with `distribution:name`, or None.
        pin: Distribution that `[resolve]` of the registry file pins the name to, or None.
        winner: What it means; None where `error` says why it means nothing, or several things.
        unavailable: Components with this name, of kinds that nobody declares, with the reason.
        absent: Plugins that were not loaded and might have provided it, with the reason.
        changes: What would change the outcome, one sentence each.
    """

    asked: str
    kind: str
    name: str
    distribution: str | None
    pin: str | None
    pinned_at: str | None
    candidates: tuple[Candidate, ...]
    winner: Component | None
    error: UserError | None
    unavailable: tuple[tuple[Component, str], ...]
    absent: tuple[tuple[PluginRecord, str], ...]
    changes: tuple[str, ...]


def explain(index: Index, recipes: Recipes, switches: Switches, asked: str) -> Explanation:
    """Explain what `KIND/NAME` or `KIND/DISTRIBUTION:NAME` means; an unknown or ambiguous name is explained too.

    Raises:
        UserError: it does not read so, or there is no such kind.
    """
    kind, slash, name = (part.strip() for part in asked.partition("/"))
    if not (slash and kind and name):
        raise UserError(f"'{asked}' does not read KIND/NAME.", hint="Write network/lstm-v2, for example.")
    if kind.lower() == "policy" and "policy" not in index.kinds:
        raise UserError(
            "A policy is not a component: it is a recipe of registry.toml, or a network with its defaults.",
            hint=f"Ask for network/{name}, or see: esper policy show {name}",
        )
    kind = check_kind(index, kind)
    distribution, bare = split_name(name)
    by_name = named(index, kind, bare)
    by_alias = tuple(component for component in aliased(index, kind, bare) if component not in by_name)
    found = by_name or by_alias
    # A written distribution leaves no pin.
    key = found[0].key if found and distribution is None else None
    pin = recipes.pins.get(key) if key else None
    place = recipes.place("resolve", key) if key and pin else None
    wanted = normalise_name(pin) if pin else distribution

    def outcome(
        index: Index = index, name: str = name, pins: Mapping[str, str] = recipes.pins
    ) -> tuple[Component | None, UserError | None]:
        try:
            return resolve(index, kind, name, pins), None
        except UserError as error:
            return None, error

    def said(**changed: Any) -> str:
        winner, error = outcome(**changed)
        return f"{winner}." if error is None else f"an error. {error.message}"

    def candidate(component: Component) -> Candidate:
        if component == winner:
            what = "chosen" if wanted is None else f"chosen: it comes from {wanted}"
        elif by_name and component not in by_name:
            what = "not chosen: an alias gives way to a name"
        elif wanted is not None and wanted not in component.ids:
            what = f"not chosen: {'pinned to' if pin else 'asked for from'} {wanted}"
        else:
            what = "one of several"
        found_by = "name" if component in by_name else "alias"
        return Candidate(component, index.record(component), found_by, component == winner, what)

    def changes() -> Iterator[str]:
        if winner is not None and not winner.is_core:
            yield f"With --no-plugin {winner.plugin}: {said(index=_without(index, index.record(winner)))}"
        if pin:
            yield f"Without the pin at {place}: {said(pins={})}"
        if distribution is not None:
            yield f"As {kind}/{bare}: {said(name=bare)}"
        elif len(found) > 1:
            for component in found:
                if component != winner:
                    yield f"As {kind}/{component.qualified}: {said(name=component.qualified)}"
            if not pin:
                line = f'"{key}" = "{found[0].distribution}"'
                yield f"With {line} under [resolve] in registry.toml: {found[0]}."
        elif found and not pin:
            yield (
                f"If another distribution provided a {kind} '{found[0].name}' too, the name would be an error "
                f'until "{key}" is pinned under [resolve] in registry.toml.'
            )
        if found and not by_name:
            yield f"A {kind} that is really named '{bare}' would come before this alias."

    winner, error = outcome()
    absent = [
        (r, f"switched off: {switches.reason(r)}" if r.status == "disabled" else r.error or "it failed to load")
        for r in index.plugins
        if r.status != "ok"
    ]
    return Explanation(
        asked=asked,
        kind=kind,
        name=bare,
        distribution=distribution,
        pin=pin,
        pinned_at=place,
        candidates=tuple(map(candidate, (*by_name, *by_alias))),
        winner=winner,
        error=error,
        unavailable=tuple((lost.component, lost.reason) for lost in index.unavailable if lost.component.name == bare),
        absent=tuple(absent),
        changes=tuple(changes()),
    )


def _without(index: Index, record: PluginRecord) -> Index:
    kinds = {name: kind for name, kind in index.kinds.items() if name not in record.kinds}
    stay = [c for c in index.components if index.record(c) != record and c.kind in kinds]
    return evolve(index, kinds=kinds, components=tuple(stay))
