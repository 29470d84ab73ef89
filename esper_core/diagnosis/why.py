"""How a name resolves, and what would change that."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import evolve, frozen

from esper_core.contracts.components import normalise_name
from esper_core.contracts.errors import UserError
from esper_core.diagnosis.switches import Switches
from esper_core.plan.recipes import Recipes
from esper_core.registry.discovery import CORE_PLUGIN
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
        candidates: Every component that has the name, by name or by alias.
        winner: What it means; None where it means nothing or several things, and `error` says why.
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
    case = _Case(index, recipes, check_kind(index, kind), name)
    distribution, bare = split_name(name)
    key = case.pin_key
    winner, error = case.outcome()
    absent = [
        (r, f"switched off: {switches.reason(r)}" if r.status == "disabled" else r.error or "it failed to load")
        for r in index.plugins
        if r.status != "ok"
    ]
    return Explanation(
        asked=asked,
        kind=case.kind,
        name=bare,
        distribution=distribution,
        pin=recipes.pins[key] if key else None,
        pinned_at=recipes.place("resolve", key) if key else None,
        candidates=tuple(case.candidates(winner)),
        winner=winner,
        error=error,
        unavailable=tuple((lost.component, lost.reason) for lost in index.unavailable if lost.component.name == bare),
        absent=tuple(absent),
        changes=tuple(case.changes(winner)),
    )


@frozen
class _Case:
    """One name that is to be explained."""

    index: Index
    recipes: Recipes
    kind: str
    name: str

    @property
    def found(self) -> tuple[Component, ...]:
        """Components that the bare name may mean; an alias gives way to a name."""
        bare = split_name(self.name)[1]
        return named(self.index, self.kind, bare) or aliased(self.index, self.kind, bare)

    @property
    def pin_key(self) -> str | None:
        """Key of the pin that is applied; a written distribution leaves none."""
        key = self.found[0].key if self.found and split_name(self.name)[0] is None else None
        return key if key in self.recipes.pins else None

    def outcome(
        self, index: Index | None = None, name: str | None = None, pinned: bool = True
    ) -> tuple[Component | None, UserError | None]:
        """Return what the name means, or why it means nothing; also with something changed."""
        try:
            pins = self.recipes.pins if pinned else None
            return resolve(index or self.index, self.kind, name or self.name, pins), None
        except UserError as error:
            return None, error

    def said(self, index: Index | None = None, name: str | None = None, pinned: bool = True) -> str:
        """Return the outcome in words."""
        winner, error = self.outcome(index, name, pinned)
        return f"{winner}." if error is None else f"an error. {error.message}"

    def candidates(self, winner: Component | None) -> Iterator[Candidate]:
        distribution, bare = split_name(self.name)
        key = self.pin_key
        wanted = normalise_name(self.recipes.pins[key]) if key else distribution
        by_name = named(self.index, self.kind, bare)
        for component in (*by_name, *(c for c in aliased(self.index, self.kind, bare) if c not in by_name)):
            if component == winner:
                outcome = "chosen" if wanted is None else f"chosen: it comes from {wanted}"
            elif by_name and component not in by_name:
                outcome = "not chosen: an alias gives way to a name"
            elif wanted is not None and wanted not in component.owners:
                outcome = f"not chosen: {'pinned to' if key else 'asked for from'} {wanted}"
            else:
                outcome = "one of several"
            found_by = "name" if component in by_name else "alias"
            yield Candidate(component, self.index.record(component), found_by, component == winner, outcome)

    def changes(self, winner: Component | None) -> Iterator[str]:
        (distribution, bare), found, key = split_name(self.name), self.found, self.pin_key
        if winner is not None and winner.plugin != CORE_PLUGIN:
            yield f"With --no-plugin {winner.plugin}: {self.said(_without(self.index, self.index.record(winner)))}"
        if key:
            yield f"Without the pin at {self.recipes.place('resolve', key)}: {self.said(pinned=False)}"
        if distribution is not None:
            yield f"As {self.kind}/{bare}: {self.said(name=bare)}"
        elif len(found) > 1:
            for component in found:
                if component != winner:
                    yield f"As {self.kind}/{component.qualified}: {self.said(name=component.qualified)}"
            if not key:
                pin = f'"{found[0].key}" = "{found[0].distribution}"'
                yield f"With {pin} under [resolve] in registry.toml: {found[0]}."
        elif found and not key:
            yield (
                f"If another distribution provided a {self.kind} '{found[0].name}' too, the name would be an error "
                f'until "{found[0].key}" is pinned under [resolve] in registry.toml.'
            )
        if found and not named(self.index, self.kind, bare):
            yield f"A {self.kind} that is really named '{bare}' would come before this alias."


def _without(index: Index, record: PluginRecord) -> Index:
    kinds = {name: kind for name, kind in index.kinds.items() if name not in record.kinds}
    stay = [c for c in index.components if index.record(c) != record and c.kind in kinds]
    return evolve(index, kinds=kinds, components=tuple(stay))
