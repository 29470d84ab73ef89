"""The tree of commands, by name. A command's module is imported when it is run, or its own help asked for."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from typing import Any

import typer
from rich.markup import escape
from typer.core import TyperCommand, TyperGroup

from esper_core.cli.installed import Installed
from esper_core.contracts.errors import EsperError, PluginError, UserError, did_you_mean
from esper_core.contracts.foreign import guarded
from esper_core.registry.first_party import COMMANDS, state_and_remedy
from esper_core.registry.index import Command
from esper_core.registry.references import load_reference
from esper_core.system.printable import visible_line


class Group(TyperGroup):
    """Commands by name; the one that is run, or asked for its help, is imported then."""

    installed: Installed
    path: str = ""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, at the top with the plugins that failed to load: their commands are missing from it."""
        if not self.path and (failed := [record.plugin for record in self.installed.index.failures]):
            names = visible_line(", ".join(failed))
            names = escape(names) if self.installed.settings.markup else names
            self.epilog = f"{self.epilog}\n\nFailed to load, with any commands: {names}. See: esper plugins doctor"
        super().format_help(ctx, formatter)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Return the command that the first word names; raises EsperError for one that nobody brings."""
        if not ctx.resilient_parsing and not args[0].startswith("-") and args[0] not in self.commands:
            raise _unknown(self.path, args[0], list(self.commands), self.installed)
        return super().resolve_command(ctx, args)


def below(path: str, installed: Installed) -> dict[str, Any]:
    """Return the commands of a group by their own word, or those at the top for ''; no module is imported."""
    markup = installed.settings.markup

    def group(name: str, summary: str) -> Group:
        made = Group(name=name, commands=below(name, installed), no_args_is_help=True, rich_markup_mode=markup)
        made.help, made.path, made.installed = summary, name, installed
        return made

    commands = installed.index.commands
    here = [command for command in commands if command.spec.group == path]
    found = {c.spec.word: Deferred(c, installed) if c.spec.app else group(c.name, c.spec.summary) for c in here}
    for command in commands:
        if command.spec.group and not path and command.spec.group not in found:
            found[command.spec.group] = group(command.spec.group, f"Commands of {command.distribution}.")
    return found


class Deferred(TyperCommand):
    """A command of which only name and summary are known until it is used."""

    def __init__(self, command: Command, installed: Installed) -> None:
        super().__init__(name=command.spec.word, help=command.spec.summary, rich_markup_mode=installed.settings.markup)
        self.command, self.installed = command, installed

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Import the command and let it read its arguments."""
        self.installed.running = self.command
        return self.load().make_context(info_name, args, parent=parent, **extra)

    def load(self) -> Any:
        """Return what typer makes of the command's function or group; raises PluginError."""
        from esper_core.cli.choices import with_installed

        spec, owner, markup = self.command.spec, str(self.command), self.installed.settings.markup
        with redirect_stdout(sys.stderr):
            app = load_reference(spec.app, owner, self.command.distribution)
        with guarded(owner, "describing its arguments"):
            if isinstance(app, typer.Typer):
                app.rich_markup_mode = markup
                group = typer.main.get_group(app)
                group.commands = {**below(spec.name, self.installed), **group.commands}
                return group
            if callable(app):
                alone = typer.Typer(rich_markup_mode=markup, add_completion=False)
                alone.command(spec.word)(with_installed(app, self.installed))
                return typer.main.get_command(alone)
        message = f"{owner} breaks its contract: '{spec.app}' is neither a function nor a typer.Typer."
        raise PluginError(message, hint="Report this to the plugin's author.")


def _unknown(path: str, word: str, known: list[str], installed: Installed) -> EsperError:
    """Return what to say about a command that nobody brings."""
    name, index = f"{path} {word}".strip(), installed.index
    if installed.broken is not None:
        return installed.broken
    if owner := COMMANDS.get(name):
        state, remedy = state_and_remedy(owner, index.plugins)
        return UserError(f"The command '{name}' belongs to {owner}, which {state}.", hint=remedy)
    hint = f"See: esper {f'{path} --help'.strip()}"
    if failed := ", ".join(record.plugin for record in index.failures):
        hint = f"A plugin that failed to load may bring it: {failed}. See: esper plugins doctor"
    known += [whole.rpartition(" ")[2] for whole in COMMANDS if whole.rpartition(" ")[0] == path]
    return UserError(f"There is no command '{name}'.{did_you_mean(word, known)}", hint=hint)
