"""Calls into the code of others: whatever comes out of one becomes an error that names whose code it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from esper_core.contracts.errors import EsperError, PluginError, Terminated

DEBUG_HINT = "Use --debug for the traceback."


@contextmanager
def guarded(owner: str, doing: str) -> Iterator[None]:
    """Turn whatever is raised within into a PluginError that names the owner of the code; also a call of `exit`.

    Errors of esper's own and requests to stop pass through.

    Args:
        owner: Whose code runs, such as "environment 'x' (esper-x 1.0)".
        doing: What it was asked for, such as "taking step 3".

    Raises:
        PluginError: the code raised something.
    """
    try:
        yield
    except (EsperError, KeyboardInterrupt, Terminated, GeneratorExit):
        raise
    except BaseException as error:
        raise PluginError(f"{owner} failed while {doing}: {described(error)}.", hint=DEBUG_HINT) from error


def described(error: BaseException) -> str:
    """Return the type of an exception and what it says, which may be nothing or itself fail."""
    name = type(error).__name__
    try:
        text = str(error).strip()
    except Exception:
        text = ""
    return f"{name}: {text.rstrip('.')}" if text else name
