"""Switching plugins off by name. Everything here is decided before a plugin is imported."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from attrs import field, frozen

from esper_core.composition.recipes import Recipes
from esper_core.contracts.components import normalise_name
from esper_core.contracts.errors import UserError, did_you_mean
from esper_core.registry.discovery import Source
from esper_core.registry.index import FromPlugin, PluginRecord
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
        known, core = _names(sources)
        for name in self.no_plugin:
            if normalise_name(name) in core:
                raise UserError(CORE_STAYS, hint=f"Drop --no-plugin {name}.")
        said = [("", name) for name in self.no_plugin] + [(f"{PLUGINS_VARIABLE}: ", name) for name in self.only or ()]
        for who, name in said:
            if normalise_name(name) not in known:
                here = ", ".join(source.plugin for source in sources)
                raise UserError(f"{who}{_no_plugin(name, known)}", hint=f"Installed here: {here}.")

    def problems(self, records: Collection[PluginRecord]) -> Iterator[str]:
        """Yield what is wrong with the names, those of the registry file included."""
        known, core = _names(records)
        said = [(name, f"--no-plugin {name}") for name in self.no_plugin]
        said += [(name, f"{PLUGINS_VARIABLE} names '{name}'") for name in self.only or ()]
        said += [(name, f"{self._disabled_in()} names '{name}'") for name in self.recipes.disabled]
        for name, who in said:
            if normalise_name(name) not in known:
                yield f"{who}: {_no_plugin(name, known)}"
        if not core.isdisjoint(map(normalise_name, self.disabled)):
            yield CORE_STAYS

    def reason(self, record: PluginRecord) -> str:
        """Return who switched a plugin off."""
        for name in self.disabled:
            if normalise_name(name) in record.ids:
                return f"--no-plugin {name}" if name in self.no_plugin else self._disabled_in()
        return f"{PLUGINS_VARIABLE}={','.join(self.only or ())} does not name it"

    def _disabled_in(self) -> str:
        return f"[plugins] disabled in {self.recipes.place('plugins', 'disabled')}"


def _names(plugins: Collection[FromPlugin]) -> tuple[set[str], set[str]]:
    """Return the names of all plugins, and those of the core's own."""
    known = {name for plugin in plugins for name in plugin.ids}
    return known, {name for plugin in plugins if plugin.is_core for name in plugin.ids}


def _no_plugin(name: str, known: Collection[str]) -> str:
    return f"There is no plugin '{name}'.{did_you_mean(normalise_name(name), known)}"
