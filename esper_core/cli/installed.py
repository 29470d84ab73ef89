"""What every command begins with: global flags, what is installed, and the registry file."""

from __future__ import annotations

import sys
from argparse import ArgumentError, ArgumentParser
from collections.abc import Sequence
from typing import Any

import typer
from attrs import define, frozen

from esper_core.api.installed import load_installed as _load
from esper_core.cli.document import divert_standard_output
from esper_core.composition.recipes import Recipes
from esper_core.contracts.errors import EsperError, UserError
from esper_core.registry.discovery import core_source
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
    words = list(argv)
    end = words.index("--") if "--" in words else len(words)
    parser = ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--registry")
    parser.add_argument("--no-plugin", action="append", default=[])
    parser.add_argument("--debug", action="store_true")
    try:
        found, rest = parser.parse_known_args(words[:end])
    except ArgumentError as error:
        raise UserError(f"{error.argument_name}: {error.message}.", hint=FLAGS) from error
    markup = "rich" if sys.stdout.isatty() else None
    return Settings(found.registry, tuple(found.no_plugin), found.debug, markup), rest + words[end:]


@define
class Installed:
    """What is installed, loaded once when it is first asked for; `broken` says why it cannot be."""

    settings: Settings
    broken: EsperError | None = None
    running: Command | None = None
    loaded: tuple[Index, Recipes] | None = None

    def load(self) -> tuple[Index, Recipes]:
        """Return what is installed, and the registry file; raises UserError before anything is imported."""
        if self.loaded is None:
            self.loaded = _load(self.settings.registry, self.settings.no_plugin)
        return self.loaded

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
    divert_standard_output()
    return installed_of(context).load()


def installed_of(context: typer.Context) -> Installed:
    """Return what a command line began with."""
    return context.obj or Installed(Settings())
