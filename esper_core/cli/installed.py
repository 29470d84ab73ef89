"""What every command begins with: global flags, what is installed, and the registry file."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer
from attrs import define, frozen

from esper_core.cli.document import leave_to_others
from esper_core.composition.recipes import Recipes, find_registry, load_recipes
from esper_core.contracts.errors import EsperError, UserError
from esper_core.diagnosis.switches import Switches
from esper_core.registry.discovery import core_source, entry_point_sources
from esper_core.registry.index import Command, Index
from esper_core.registry.loading import index_plugins

FLAGS = """Global flags, before or after any command:
  --registry FILE    use this registry.toml
  --no-plugin NAME   do not load a plugin (repeatable)
  --debug            show tracebacks"""


@frozen
class Settings:
    """Global flags, and how typer renders help texts; without `markup` they are plain."""

    registry: str | None = None
    no_plugin: tuple[str, ...] = ()
    debug: bool = False
    markup: Any = None


def take_settings(argv: Sequence[str]) -> tuple[Settings, list[str]]:
    """Take the global flags out of a command line, wherever they stand before `--`; return them and the rest."""
    if any("\0" in word for word in argv):
        raise UserError("A word of the command line holds a NUL byte, which no path can.", hint="Leave it out.")
    values: dict[str, list[str]] = {"--registry": [], "--no-plugin": []}
    debug = False
    rest: list[str] = []
    words = iter(argv)
    for word in words:
        if word == "--":
            rest += [word, *words]
            break
        flag, equals, value = word.partition("=")
        if word == "--debug":
            debug = True
        elif flag in values:
            given = value if equals else next(words, "")
            if not given:
                raise UserError(f"{flag} needs a value.", hint=FLAGS)
            values[flag].append(given)
        else:
            rest.append(word)
    registry = values["--registry"][-1] if values["--registry"] else None
    return Settings(registry, tuple(values["--no-plugin"]), debug, "rich" if sys.stdout.isatty() else None), rest


@define
class Installed:
    """What is installed, loaded once when it is first asked for; `broken` says why it cannot be."""

    settings: Settings
    broken: EsperError | None = None
    running: Command | None = None
    _loaded: tuple[Index, Recipes] | None = None

    def load(self) -> tuple[Index, Recipes]:
        """Return what is installed, and the registry file; raises UserError before anything is imported."""
        if self._loaded is None:
            recipes = load_recipes(find_registry(self.settings.registry))
            switches = Switches(self.settings.no_plugin, recipes)
            sources = entry_point_sources()
            switches.check(sources)
            here = Path.cwd()
            try:
                self._loaded = index_plugins(sources, disabled=switches.disabled, only=switches.only), recipes
            finally:
                # A plugin that goes elsewhere must not change what the paths of a command line mean.
                os.chdir(here)
        return self._loaded

    @property
    def loaded(self) -> Index | None:
        """What `load` returned; None where it has not."""
        return self._loaded[0] if self._loaded else None

    @property
    def index(self) -> Index:
        """What is installed; core alone where that cannot be found out, and `broken` says why."""
        try:
            return self.load()[0]
        except EsperError as error:
            self.broken = error
            return index_plugins([core_source()])


def load_installed(context: typer.Context) -> tuple[Index, Recipes]:
    """Return what is installed, and the registry file; raises as `Installed.load`."""
    leave_to_others()
    return installed_of(context).load()


def installed_of(context: typer.Context) -> Installed:
    """Return what a command line began with."""
    return context.obj or Installed(Settings())
