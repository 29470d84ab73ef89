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
from esper_core.registry.resolve import aliased, check_kind, named, owners, resolve, split_name


@frozen
class Candidate:
    """A component that has the name.

    Attributes:
        component: The component.
        record: The plugin it comes from.
        found_by: 'name' or 'alias'.
        chosen: It is what the name means.
        outcome: Why it was chosen or not, in words.
    """

    component: Component
    record: PluginRecord
    found_by: str
    chosen: bool
    outcome: str


@frozen(kw_only=True)
class Explanation:
    """How `KIND/NAME` resolves.

    Attributes:
        asked: What was asked for.
        kind: Canonical name of the kind.
        name: The name as it is looked up, without distribution.
        distribution: Distribution or plugin that was asked for with `distribution:name`, or None.
        pin: Distribution that `[resolve]` of the registry file pins the name to, or None.
        pinned_at: Place of the pin, or None.
        candidates: Every component that has the name, by name or by alias.
        winner: What it means, or None.
        error: Why it means nothing or several things, or None.
        unavailable: Components with this name, of kinds that nobody declares: `(component, reason)`.
        absent: Plugins that were not loaded and might have provided it: `(plugin, reason)`.
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
    kind, slash, name = asked.partition("/")
    if not (slash and kind.strip() and name.strip()):
        raise UserError(f"'{asked}' does not read KIND/NAME.", hint="Write network/lstm-v2, for example.")
    if kind.strip().lower() == "policy" and "policy" not in index.kinds:
        raise UserError(
            "A policy is no component: it is a recipe of registry.toml, or a network with its defaults.",
            hint=f"Ask for network/{name}, or see: esper policy show {name}",
        )
    return _Case(index, recipes, switches, check_kind(index, kind), name.strip()).explain(asked)


@frozen
class _Case:
    """One name that is to be explained."""

    index: Index
    recipes: Recipes
    switches: Switches
    kind: str
    name: str

    @property
    def distribution(self) -> str | None:
        return split_name(self.name)[0]

    @property
    def bare(self) -> str:
        return split_name(self.name)[1]

    @property
    def found(self) -> tuple[Component, ...]:
        """Components that the bare name may mean; an alias gives way to a name."""
        return named(self.index, self.kind, self.bare) or aliased(self.index, self.kind, self.bare)

    @property
    def pin_key(self) -> str | None:
        """Key of the pin that is applied."""
        key = f"{self.kind}/{self.found[0].name}" if self.found and self.distribution is None else ""
        return key if key in self.recipes.pins else None

    def explain(self, asked: str) -> Explanation:
        winner, error = self.outcome()
        key = self.pin_key
        return Explanation(
            asked=asked,
            kind=self.kind,
            name=self.bare,
            distribution=self.distribution,
            pin=self.recipes.pins[key] if key else None,
            pinned_at=self.recipes.place("resolve", key) if key else None,
            candidates=tuple(self.candidates(winner)),
            winner=winner,
            error=error,
            unavailable=tuple(
                (lost.component, lost.reason) for lost in self.index.unavailable if lost.component.name == self.bare
            ),
            absent=tuple(self.absent()),
            changes=tuple(self.changes(winner)),
        )

    def outcome(
        self, *, without: PluginRecord | None = None, name: str | None = None, pinned: bool = True
    ) -> tuple[Component | None, UserError | None]:
        """Return what the name means, or why it means nothing; also with a little more or less installed."""
        index = self.index if without is None else _without(self.index, without)
        try:
            return resolve(index, self.kind, name or self.name, self.recipes.pins if pinned else None), None
        except UserError as error:
            return None, error

    def candidates(self, winner: Component | None) -> Iterator[Candidate]:
        by_name = named(self.index, self.kind, self.bare)
        by_alias = [c for c in aliased(self.index, self.kind, self.bare) if c not in by_name]
        key = self.pin_key
        wanted = self.distribution or (normalise_name(self.recipes.pins[key]) if key else None)
        for component, found_by in [*((c, "name") for c in by_name), *((c, "alias") for c in by_alias)]:
            if component == winner:
                outcome = "chosen" if wanted is None else f"chosen: it comes from {wanted}"
            elif found_by == "alias" and by_name:
                outcome = "not chosen: an alias gives way to a name"
            elif wanted is not None and wanted not in owners(component):
                outcome = f"not chosen: {'pinned to' if key else 'asked for from'} {wanted}"
            else:
                outcome = "one of several"
            yield Candidate(component, self.index.record(component), found_by, component == winner, outcome)

    def absent(self) -> Iterator[tuple[PluginRecord, str]]:
        for record in self.index.plugins:
            if record.status == "failed":
                yield record, record.error or "it failed to load"
            elif record.status == "disabled":
                yield record, f"switched off: {self.switches.reason(record)}"

    def changes(self, winner: Component | None) -> Iterator[str]:
        found, key = self.found, self.pin_key
        if winner is not None and winner.plugin != CORE_PLUGIN:
            without = self.outcome(without=self.index.record(winner))
            yield f"With --no-plugin {winner.plugin}: {_said(*without)}"
        if key:
            yield f"Without the pin at {self.recipes.place('resolve', key)}: {_said(*self.outcome(pinned=False))}"
        if self.distribution is not None:
            yield f"As {self.kind}/{self.bare}: {_said(*self.outcome(name=self.bare))}"
        elif len(found) > 1:
            for component in found:
                if component != winner:
                    qualified = component.qualified
                    yield f"As {self.kind}/{qualified}: {_said(*self.outcome(name=qualified))}"
            if not key:
                first = found[0]
                pin = f'"{first.key}" = "{first.distribution}"'
                yield f"With {pin} under [resolve] in registry.toml: {first}."
        elif found and not key:
            yield (
                f"If another distribution provided a {self.kind} '{found[0].name}' too, the name would be an error "
                f'until "{found[0].key}" is pinned under [resolve] in registry.toml.'
            )
        if found and not named(self.index, self.kind, self.bare):
            yield f"A {self.kind} that is really named '{self.bare}' would come before this alias."


def _without(index: Index, record: PluginRecord) -> Index:
    kinds = {name: kind for name, kind in index.kinds.items() if name not in record.kinds}
    stay = [c for c in index.components if index.record(c) != record and c.kind in kinds]
    return evolve(index, kinds=kinds, components=tuple(stay))


def _said(winner: Component | None, error: UserError | None) -> str:
    return f"{winner}." if winner is not None else f"an error. {error.message}" if error else ""
