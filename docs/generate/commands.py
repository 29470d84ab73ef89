"""The page of the command line: every command with its arguments and flags."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from typer.core import TyperGroup

from docs.generate.markdown import NOTE, document, paragraph, table
from esper_core.cli.app import make_app
from esper_core.cli.commands import Deferred
from esper_core.cli.installed import FLAGS, Installed, Settings


def commands() -> str:
    """Return the page."""
    found = list(_commands(make_app(Installed(Settings())), ("esper",)))
    return document(
        "# Commands",
        NOTE,
        paragraph(
            "`-h` after any command prints its part of this page. Results go to standard output. Progress, warnings "
            "and errors go to standard error, and so does everything that plugins print. With `--json`, standard "
            "output is exactly one JSON document, in ASCII."
        ),
        f"```\n{FLAGS}\n```",
        table(
            ("exit status", "what it means"),
            (
                ("0", "done; a YELLOW verdict too"),
                ("1", "an internal error, or a run that stopped"),
                ("2", "the request cannot be carried out as written"),
                ("3", "a plugin failed"),
                ("4", "a checkpoint does not fit, or a file of a run is damaged"),
                ("5", "a RED verdict"),
                ("130, 143", "stopped by Ctrl-C, by SIGTERM"),
                ("141", "the reader of standard output has left, as `head` does"),
            ),
        ),
        table(
            ("command", "what it does"),
            [(f"[`{' '.join(path)}`](#{'-'.join(path)})", _first_sentence(command)) for path, command in found],
        ),
        *(_section(path, command) for path, command in found),
    )


def _commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the path and the command of everything that can be run."""
    if isinstance(command, Deferred):
        command = command.load()
    if not isinstance(command, TyperGroup):
        yield path, command
        return
    for name in command.list_commands(None):  # type: ignore[arg-type]
        yield from _commands(command.get_command(None, name), (*path, name))  # type: ignore[arg-type]


def _section(path: Sequence[str], command: Any) -> str:
    context = command.make_context(" ".join(path), [], resilient_parsing=True)
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option"]
    usage = [*path, *command.collect_usage_pieces(context)]

    def rows(parameters: Sequence[Any]) -> list[tuple[str, ...]]:
        records = [p.get_help_record(context) for p in parameters]
        return [(f"`{name}`", text) for name, text in filter(None, records)]

    return document(
        f"## {' '.join(path)}",
        f"```\n{' '.join(usage)}\n```",
        (command.help or "").replace("\b\n", "").strip(),
        table(("argument", "what it is"), rows(arguments)) if arguments else "",
        table(("flag", "what it does"), rows(options)) if options else "",
    ).rstrip()


def _first_sentence(command: Any) -> str:
    text = " ".join((command.help or "").partition("\n\n")[0].split())
    return text.partition(". ")[0].rstrip(".") + "."
