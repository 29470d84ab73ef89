"""`esper plugins new`: a plugin to begin with."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from esper_core.cli import completion
from esper_core.cli.installed import load_installed
from esper_core.cli.output import print_json, say
from esper_core.contracts.components import KindSpec, normalise_name
from esper_core.contracts.errors import UnknownComponent, UserError, did_you_mean
from esper_core.registry.reserved import COMMAND
from esper_testing.scaffold.names import check_free, parse_name
from esper_testing.scaffold.template import COMMANDS, load_template
from esper_testing.scaffold.writing import check_target, write_folder


def new_plugin(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the plugin, such as my-net.")],
    kind: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="What it brings, such as network or command; without it, all are listed.",
            autocompletion=_kinds,
        ),
    ] = None,
    directory: Annotated[
        Path | None, typer.Option(metavar="D", help="Write D/NAME; without it, the folder NAME here.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write a new plugin: a distribution that works, to be changed into your own.

    It holds one small component of the kind with its options, or one command, tests that run every check esper has for
    it, and a README with the commands that install, check and use it. Nothing is ever overwritten.
    """
    index, recipes = load_installed(context)
    chosen = _kind({**index.kinds, COMMAND: COMMANDS}, kind)
    plugin = parse_name(name)
    check_free(plugin, chosen.name, index, recipes)
    folder = (directory or Path()) / plugin.kebab
    check_target(folder)
    files = load_template(chosen).renamed(plugin)
    write_folder(folder, files)
    steps = first_steps(files, folder, plugin.kebab)
    if as_json:
        print_json(
            {"plugin": plugin.kebab, "kind": chosen.name, "folder": str(folder), "files": sorted(files), "next": steps}
        )
        return
    say(f"{folder} is a plugin with the {chosen.name} '{plugin.kebab}':", "")
    for path in sorted(files):
        say(f"  {path}")
    say("", "Next:", "")
    for step in steps:
        say(f"  {step}")


def first_steps(files: Mapping[str, bytes], folder: Path, name: str) -> list[str]:
    """Return the commands of the first block of code in the README, as they are written outside of the folder."""
    readme = files.get("README.md", b"").decode()
    block = re.search(r"^```\w*\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    steps = block[1].splitlines() if block else ["pip install -e .", f"esper plugins check {name}"]
    here = shlex.quote(str(folder))
    return [re.sub(r"(?<=^pip install -e )\.$", lambda _: here, step) for step in steps]


def _kinds(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Complete names of kinds, and `command`."""
    return [*completion.kinds(context, incomplete), *[(COMMAND, COMMANDS.summary)] * COMMAND.startswith(incomplete)]


def _kind(kinds: Mapping[str, KindSpec], name: str | None) -> KindSpec:
    """Return the kind that is meant; raises UserError with the list of all."""
    if name is not None and normalise_name(name) in kinds:
        return kinds[normalise_name(name)]
    width = max(map(len, kinds))
    listed = "\n".join(f"  {kind.name:{width}}  {kind.summary}" for kind in kinds.values() if kind.template)
    hint = f"Choose one of these with --kind KIND:\n{listed}"
    if name is None:
        raise UserError("What shall the plugin bring?", hint=hint)
    raise UnknownComponent(f"There is no kind '{name}'.{did_you_mean(normalise_name(name), kinds)}", hint=hint)
