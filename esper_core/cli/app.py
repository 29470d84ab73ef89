"""The command `esper`. Each command lies in a file of its own; importing them imports no torch."""

from __future__ import annotations

import io
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import metadata
from itertools import takewhile
from typing import Annotated, Any

import typer

from esper_core.cli import document
from esper_core.cli.commands import Group
from esper_core.cli.document import ReaderGone
from esper_core.cli.installed import FLAGS, Installed, take_settings
from esper_core.cli.output import Visible, paragraph, say
from esper_core.cli.refusals import named
from esper_core.cli.stopping import leave, raise_on_signals
from esper_core.contracts.errors import EsperError, Interrupted, PluginError, Terminated
from esper_core.contracts.foreign import DEBUG_HINT, described, exhausted
from esper_core.registry.index import Command
from esper_core.system.cache import CACHE_VARIABLE

COMPLETING = "_ESPER_COMPLETE"
"""Variable that a shell sets when it asks for words."""


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
    root.installed = installed
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
    try:
        return _run(words)
    finally:
        if claimed:
            document.release()


def _run(words: Sequence[str]) -> int:
    debug = "--debug" in takewhile(lambda word: word != "--", words)
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
    except ReaderGone as error:
        # A reader such as `head` has what it wanted. There is something to say only where something is kept.
        return _report(error, debug, error) if error.hint else error.exit_code
    except typer.Exit as stop:
        return stop.exit_code
    except BaseException as error:
        # The command line parser ends like this when a shell asks it for words, and when a reader has left.
        reader_left = isinstance(error.__context__, BrokenPipeError)
        if isinstance(error, SystemExit) and (reader_left or COMPLETING in os.environ):
            raise
        code = getattr(error, "exit_code", None)
        if callable(getattr(error, "show", None)) and isinstance(code, int):
            return _report_usage(error, code)
        return _report(_explained(error, installed.running if installed else None), debug, error)


def _explained(error: BaseException, running: Command | None) -> EsperError:
    """Return what to tell about an error, with the status to end with."""
    if isinstance(error, EsperError):
        return error
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return Interrupted("Stopped.")
    if isinstance(error, Terminated):
        stopped = Interrupted("Terminated.")
        stopped.exit_code = error.exit_code
        return stopped
    if isinstance(error, OSError):
        return named(error)
    if refusal := exhausted(error):
        return refusal
    if running is not None and not running.is_core:
        return PluginError(f"{running} failed: {described(error)}.", hint=DEBUG_HINT)
    hint = "This is a defect. Run it again with --debug for the traceback."
    return EsperError(f"Unexpected {described(error)}", hint=hint)


def _report(error: EsperError, debug: bool, cause: BaseException) -> int:
    if debug:
        say(*paragraph("".join(traceback.format_exception(cause))), err=True)
    say(*paragraph(f"Error: {error.message}"), err=True)
    if error.hint:
        say(*paragraph(error.hint), err=True)
    return error.exit_code


def _report_usage(error: Any, code: int) -> int:
    """Say what the command line parser does not understand; its message quotes what was typed."""
    shown, message = io.StringIO(), f"Error: {error.format_message()}"
    error.show(file=shown)
    before, found, _ = shown.getvalue().rpartition(message)
    say(*(before if found else shown.getvalue()).splitlines(), *[message] * bool(found), err=True)
    return code


if __name__ == "__main__":
    main()
