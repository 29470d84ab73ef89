"""What a command of a plugin must do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cached_property
from tempfile import TemporaryDirectory
from typing import Any

from attrs import frozen

from esper_core.cli.commands import Deferred, below
from esper_core.cli.installed import Installed, Settings
from esper_core.composition.recipes import Recipes
from esper_core.registry.index import Command, Index
from esper_core.registry.reserved import COMMAND
from esper_testing.conformance.importing import assert_light, entry_module
from esper_testing.conformance.suite import Suite

APP = "command:app"
"""Claimed by every command but a group whose commands are described one by one."""

SUITE = Suite(COMMAND, ("registration", "summary", "app", "light", "parameters", "help"))

SUMMARY_LENGTH = 80
"""Characters of a summary that a terminal shows in one line."""

SECONDS = 60
"""How long help may take."""

_HELP = """
import json, sys
sys.path[:0] = json.loads(sys.argv.pop(1))
from esper_core.cli.app import main
main()
"""


@frozen(slots=False)
class CommandSubject:
    """A command under check.

    Attributes:
        command: The command.
        index: What is installed.
    """

    command: Command
    index: Index
    known_failures: Mapping[str, str] = {}

    @property
    def key(self) -> str:
        """What stands in reports: `command/name`."""
        return f"{COMMAND}/{self.command.spec.name}"

    def claims(self, capability: str) -> bool:
        """Return whether the command has an app, the only capability of commands."""
        return capability == APP and bool(self.command.spec.app)

    @cached_property
    def app(self) -> Any:
        """What typer makes of its app; raises PluginError."""
        return Deferred(self.command, self._installed).load()

    @property
    def others(self) -> Mapping[str, Any]:
        """What the index holds below it as a group, by word."""
        return below(self.command.spec.name, self._installed)

    @property
    def _installed(self) -> Installed:
        return Installed(Settings(), loaded=(self.index, Recipes()))


@SUITE.check("registration", after=())
def registration(subject: CommandSubject) -> None:
    """Importing the plugin's module, as every command does, imports nothing heavy such as torch."""
    assert_light(entry_module(subject.command))


@SUITE.check("summary", after=())
def summary(subject: CommandSubject) -> None:
    """Its summary is one sentence that fits into one line of `esper --help`."""
    text = subject.command.spec.summary
    assert text.strip(), "its spec has no summary, so listings cannot say what it does"
    assert text.isprintable() and len(text) <= SUMMARY_LENGTH, f"its summary is more than one line: {text!r}"
    assert text.endswith("."), f"its summary is not a sentence that ends with a full stop: {text!r}"


@SUITE.check("app", after=(), claim=APP)
def app(subject: CommandSubject) -> None:
    """Its app can be imported, is a function or a `typer.Typer` that typer understands, and hides no other command."""
    own = getattr(subject.app, "commands", {})
    hidden = [word for word in subject.others if not _is_deferred(own.get(word))]
    assert not hidden, f"it hides commands that are registered below it: {', '.join(hidden)}"


@SUITE.check("light", after=("app",), claim=APP)
def light(subject: CommandSubject) -> None:
    """Importing it imports nothing heavy, so that its help is there at once: torch is for the function's body."""
    assert_light(subject.command.spec.app.partition(":")[0])


@SUITE.check("parameters", after=("app",), claim=APP)
def parameters(subject: CommandSubject) -> None:
    """The help says what every argument and option means, and what every command of a group does."""
    missing = list(_undocumented(subject.app, f"esper {subject.command.spec.name}"))
    assert not missing, f"without a line of help: {', '.join(missing)}"


@SUITE.check("help", after=("registration",))
def prints_help(subject: CommandSubject) -> None:
    """`--help` exits with 0, and prints help and nothing else."""
    name = subject.command.spec.name
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ESPER_")}
    # Alone with the core, so that nothing is held against it that another plugin prints.
    environment["ESPER_PLUGINS"] = subject.command.plugin
    command = [sys.executable, "-c", _HELP, json.dumps(sys.path), *name.split(), "--help"]
    try:
        with TemporaryDirectory() as folder:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                check=False,
                stdin=subprocess.DEVNULL,
                cwd=folder,
                env=environment,
                timeout=SECONDS,
            )
    except subprocess.TimeoutExpired:
        raise AssertionError(f"`esper {name} --help` takes more than {SECONDS} s") from None
    noise = " ".join(done.stderr.split())
    assert done.returncode == 0, f"`esper {name} --help` exits with {done.returncode}: {noise}"
    assert not noise, f"`esper {name} --help` prints more than help: {noise}"
    assert done.stdout.lstrip().startswith(f"Usage: esper {name}"), f"`esper {name} --help` prints no help"


def _undocumented(command: Any, name: str) -> Iterator[str]:
    """Yield parameters and commands of a group that have no help."""
    for parameter in command.params:
        if not (getattr(parameter, "help", None) or "").strip():
            yield f"{name} {parameter.name}"
    for word, child in getattr(command, "commands", {}).items():
        if not _is_deferred(child):
            if not (child.help or "").strip():
                yield f"{name} {word}"
            yield from _undocumented(child, f"{name} {word}")


def _is_deferred(command: Any) -> bool:
    """Return whether it is a command of its own, which is checked by itself."""
    return isinstance(command, Deferred)
