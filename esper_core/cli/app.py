"""The command `esper`. Commands live in files of their own; importing them imports no torch."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import metadata
from typing import Annotated, Any

import typer

from esper_core.cli import document
from esper_core.cli.commands import Group, below
from esper_core.cli.document import ReaderGone
from esper_core.cli.installed import FLAGS, Installed, take_settings
from esper_core.cli.output import Visible, paragraph, say
from esper_core.cli.refusals import explained
from esper_core.cli.stopping import leave, raise_on_signals
from esper_core.system.cache import CACHE_VARIABLE


def _print_version(wanted: bool) -> None:
    if wanted:
        say(f"esper {metadata.version('esper-core')}")
        raise typer.Exit


def make_app(installed: Installed) -> Any:
    """Return the command `esper`; boxes are drawn only on a terminal."""
    markup = installed.settings.markup
    app = typer.Typer(
        name="esper",
        cls=Group,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=markup,
        context_settings={"help_option_names": ["-h", "--help"]},
        epilog=FLAGS.replace("\n", "\n\n") if markup else f"\b\n{FLAGS}",
    )

    @app.callback()
    def esper(
        version: Annotated[
            bool, typer.Option("--version", "-v", callback=_print_version, is_eager=True, help="Show the version.")
        ] = False,
    ) -> None:
        """Policies that grow neural networks: train them, swap their pieces by name, prove that they work."""

    root: Any = typer.main.get_command(app)
    root.installed, root.commands = installed, below("", installed)
    return root


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command line and exit with its status."""
    words = list(sys.argv[1:] if argv is None else argv)
    document.open_streams()
    # To the end of the process: what others print while it ends is not the document either.
    document.claim()
    raise_on_signals()
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(Visible())
    leave(run(words))


def run(words: Sequence[str]) -> int:
    """Run a command line and return its status; standard output is left as it was found."""
    claimed = document.claim()
    installed: Installed | None = None
    try:
        if explicit := os.environ.get(CACHE_VARIABLE):
            # A component may change the working directory before the cache is used.
            os.environ[CACHE_VARIABLE] = os.path.abspath(explicit)  # noqa: PTH100
        with document.parsing():
            settings, rest = take_settings(words)
            installed = Installed(settings)
            result: Any = make_app(installed).main(args=rest, prog_name="esper", standalone_mode=False, obj=installed)
        return result if isinstance(result, int) else 0
    except typer.Exit as stop:
        return stop.exit_code
    except BaseException as error:
        if isinstance(error, SystemExit) and "_ESPER_COMPLETE" in os.environ:  # a shell has asked for words
            return int(error.code or 0)
        if isinstance(error, ReaderGone) and not error.hint:
            # A reader such as `head` has what it wanted. There is something to say only where something is kept.
            return error.exit_code
        if callable(getattr(error, "format_message", None)):
            return _report_usage(error)
        if installed is not None and installed.settings.debug:
            say(*paragraph("".join(traceback.format_exception(error))), err=True)
        told = explained(error, installed.running if installed else None)
        say(*paragraph(f"Error: {told.message}"), *(paragraph(told.hint) if told.hint else ()), err=True)
        return told.exit_code
    finally:
        if claimed:
            document.release()


def _report_usage(error: Any) -> int:
    """Say what the command line parser does not understand."""
    message: str = error.format_message()
    if type(error).__name__ == "NoArgsIsHelpError":
        say(*message.splitlines(), err=True)
        return int(error.exit_code)
    if context := getattr(error, "ctx", None):
        usage, help_flag = context.get_usage().splitlines(), context.help_option_names[0]
        say(*usage, f"Try '{context.command_path} {help_flag}' for help.", "", err=True)
    say(f"Error: {message}", err=True)  # it quotes what was typed, and stays one line
    return int(error.exit_code)


if __name__ == "__main__":
    main()
