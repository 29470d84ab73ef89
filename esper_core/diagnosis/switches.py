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
        only: Names in `ESPER_PLUGINS`; None when it is not set.
    """

    no_plugin: tuple[str, ...] = ()
    recipes: Recipes = field(factory=Recipes)
    only: tuple[str, ...] | None = field(factory=allow_list)

    @property
    def disabled(self) -> tuple[str, ...]:
        """Names that are switched off."""
        return (*self.no_plugin, *self.recipes.disabled)

    def check(self, sources: Collection[Source]) -> None:
        """Raise UserError where `--no-plugin` or `ESPER_PLUGINS` names no plugin, or `--no-plugin` the core's.

        The registry file may be shared by several machines, so what it disables need not be installed.
        """
        core = {name for source in sources if source.is_core for name in source.ids}
        for name in self.no_plugin:
            if normalise_name(name) in core:
                raise UserError(CORE_STAYS, hint=f"Drop --no-plugin {name}.")
        for problem in self._unknown(sources):
            raise UserError(problem, hint=f"Installed here: {', '.join(source.plugin for source in sources)}.")

    def problems(self, records: Collection[PluginRecord]) -> Iterator[str]:
        """Yield what is wrong with the names, those of the registry file included."""
        yield from self._unknown(records, self.recipes.disabled)
        off = {normalise_name(name) for name in self.disabled}
        if any(record.is_core and record.ids & off for record in records):
            yield CORE_STAYS

    def reason(self, record: PluginRecord) -> str:
        """Return who switched a plugin off."""
        for name in self.disabled:
            if normalise_name(name) in record.ids:
                return f"--no-plugin {name}" if name in self.no_plugin else self._disabled_in()
        return f"{PLUGINS_VARIABLE}={','.join(self.only or ())} does not name it"

    def _unknown(self, plugins: Collection[FromPlugin], disabled: Collection[str] = ()) -> Iterator[str]:
        """Yield what names no plugin among those of the command line, of the environment and `disabled`."""
        known = {name for plugin in plugins for name in plugin.ids}
        said = [("--no-plugin", self.no_plugin), (PLUGINS_VARIABLE, self.only or ()), (self._disabled_in(), disabled)]
        for who, names in said:
            for name in names:
                if normalise_name(name) not in known:
                    yield f"{who}: There is no plugin '{name}'.{did_you_mean(normalise_name(name), known)}"

    def _disabled_in(self) -> str:
        return f"[plugins] disabled in {self.recipes.place('plugins', 'disabled')}"
