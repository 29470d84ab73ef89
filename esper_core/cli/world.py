"""What every command begins with: global flags, what is installed, and the registry file."""

from __future__ import annotations

from collections.abc import Sequence

import typer
from attrs import frozen

from esper_core.contracts.components import normalise_name
from esper_core.contracts.errors import UserError, did_you_mean
from esper_core.registry.index import Index, load_index
from esper_core.registry.recipes import Recipes, find_registry, load_recipes

FLAGS = """Global flags, before or after any command:
  --registry FILE    use this registry.toml
  --no-plugin NAME   do not load a plugin (repeatable)
  --debug            show tracebacks"""


@frozen
class Settings:
    """Global flags.

    Attributes:
        registry: Path of the registry file, or None to look for one.
        no_plugin: Plugins that are not loaded.
        debug: Show tracebacks.
    """

    registry: str | None = None
    no_plugin: tuple[str, ...] = ()
    debug: bool = False


def take_settings(argv: Sequence[str]) -> tuple[Settings, list[str]]:
    """Take the global flags out of a command line, wherever they stand before `--`; return them and the rest.

    Raises:
        UserError: a flag lacks its value.
    """
    registry: str | None = None
    disabled: list[str] = []
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
        elif flag in ("--registry", "--no-plugin"):
            given = value if equals else next(words, None)
            if not given:
                raise UserError(f"{flag} needs a value.", hint=FLAGS)
            if flag == "--registry":
                registry = given
            else:
                disabled.append(given)
        else:
            rest.append(word)
    return Settings(registry, tuple(disabled), debug), rest


def load_world(context: typer.Context) -> tuple[Index, Recipes]:
    """Return what is installed, and the registry file.

    Raises:
        RegistryFileError: the registry file cannot be read.
        UserError: `--no-plugin` names a plugin that is not installed.
    """
    settings: Settings = context.obj or Settings()
    recipes = load_recipes(find_registry(settings.registry))
    index = load_index(disabled=(*recipes.disabled, *settings.no_plugin))
    known = {normalise_name(name) for r in index.plugins for name in (r.plugin, r.distribution)}
    for name in settings.no_plugin:
        if normalise_name(name) not in known:
            raise UserError(f"There is no plugin '{name}'.{did_you_mean(name, known)}", hint="See: esper plugins list")
    return index, recipes
