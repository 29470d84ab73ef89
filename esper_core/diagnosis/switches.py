"""Switching plugins off by name. Everything here is decided before a plugin is imported."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from attrs import field, frozen

from esper_core.contracts.components import normalise_name
from esper_core.contracts.errors import UserError, did_you_mean
from esper_core.plan.recipes import Recipes
from esper_core.registry.discovery import Source
from esper_core.registry.index import PluginRecord
from esper_core.registry.loading import PLUGINS_VARIABLE, allow_list

CORE_STAYS = "The core's own plugin cannot be switched off: it declares the kinds that all others need."


@frozen
class Switches:
    """Which plugins are not loaded, and who says so. Names are ids or distributions, in any spelling.

    Attributes:
        no_plugin: Names given with `--no-plugin`.
        recipes: The registry file, for its `[plugins] disabled`.
        only: Names in `ESPER_PLUGINS`; None when it is not set, so that nothing but the other two says anything.
    """

    no_plugin: tuple[str, ...] = ()
    recipes: Recipes = field(factory=Recipes)
    only: tuple[str, ...] | None = field(factory=allow_list)

    @property
    def disabled(self) -> tuple[str, ...]:
        """Names that are switched off."""
        return (*self.no_plugin, *self.recipes.disabled)

    def check(self, sources: Collection[Source]) -> None:
        """Check the names that the user has just said against what is installed.

        The registry file may be shared by several machines, so what it disables need not be installed.

        Raises:
            UserError: `--no-plugin` or `ESPER_PLUGINS` names no plugin, or `--no-plugin` names the core's.
        """
        known = {name for source in sources for name in source.ids}
        core = {name for source in sources if source.is_core for name in source.ids}
        for name in self.no_plugin:
            if normalise_name(name) in core:
                raise UserError(CORE_STAYS, hint=f"Drop --no-plugin {name}.")
            if normalise_name(name) not in known:
                raise UserError(_no_plugin(name, known), hint="See: esper plugins list")
        for name in self.only or ():
            if normalise_name(name) not in known:
                raise UserError(f"{PLUGINS_VARIABLE}: {_no_plugin(name, known)}", hint=_installed(sources))

    def problems(self, records: Collection[PluginRecord]) -> Iterator[str]:
        """Yield what is wrong with the names, those of the registry file included."""
        known = {name for record in records for name in record.ids}
        said = [(name, f"--no-plugin {name}") for name in self.no_plugin]
        said += [(name, f"{PLUGINS_VARIABLE} names '{name}'") for name in self.only or ()]
        said += [(name, f"[plugins] disabled in {self._file} names '{name}'") for name in self.recipes.disabled]
        for name, who in said:
            if normalise_name(name) not in known:
                yield f"{who}: {_no_plugin(name, known)}"
        for name in self.disabled:
            if normalise_name(name) in {"core", "esper-core"}:
                yield CORE_STAYS

    def reason(self, record: PluginRecord) -> str:
        """Return who switched a plugin off."""
        for name in self.no_plugin:
            if normalise_name(name) in record.ids:
                return f"--no-plugin {name}"
        for name in self.recipes.disabled:
            if normalise_name(name) in record.ids:
                return f"[plugins] disabled in {self._file}"
        return f"{PLUGINS_VARIABLE}={','.join(self.only or ())} does not name it"

    @property
    def _file(self) -> str:
        return self.recipes.place("plugins", "disabled")


def _no_plugin(name: str, known: Collection[str]) -> str:
    return f"There is no plugin '{name}'.{did_you_mean(normalise_name(name), known)}"


def _installed(sources: Collection[Source]) -> str:
    return f"Installed here: {', '.join(source.plugin for source in sources)}."
