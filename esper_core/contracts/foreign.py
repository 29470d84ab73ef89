"""Calls into code of plugins: whatever is raised there becomes an error that names the plugin."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import AbstractContextManager

from attrs import frozen

from esper_core.contracts.errors import EsperError, Interruption, PluginError, Terminated

DEBUG_HINT = "Use --debug for the traceback."
_REFUSALS = ("allocate memory", "out of memory", "integer multiplication overflow", "storage size", "size calculation")
"""What torch says, in lower case, when it cannot have a tensor."""


class _Region:
    """What `guarded` returns; a class of its own, because a region is entered several times at every step."""

    __slots__ = ("doing", "hint", "owner")

    def __init__(self, owner: str, doing: str, hint: str = DEBUG_HINT) -> None:
        self.owner, self.doing, self.hint = owner, doing, hint

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, raised: BaseException | None, trace: object) -> None:
        if raised is None or isinstance(raised, EsperError) or asks_to_stop(raised):
            return
        refusal = exhausted(raised)
        hint = self.hint if refusal is None else f"{refusal.hint} {self.hint}"
        raise PluginError(f"{self.owner} failed while {self.doing}: {described(raised)}.", hint=hint) from raised


def guarded(owner: str, doing: str, *, hint: str = DEBUG_HINT) -> AbstractContextManager[None]:
    """Turn whatever is raised within into a PluginError that names the owner of the code; also a call of `exit`.

    Errors of esper's own and requests to stop pass through. `owner` reads like "environment 'x' (esper-x 1.0)", and
    `doing`, what its code was asked for, like "taking step 3".
    """
    return _Region(owner, doing, hint)


def asks_to_stop(error: BaseException) -> bool:
    """Return whether an exception is a request to stop, not a failure of the code that was called.

    A plain KeyboardInterrupt is the user's only where Python's own handler still raises it for a signal.
    """
    if isinstance(error, Interruption | Terminated | GeneratorExit):
        return True
    return isinstance(error, KeyboardInterrupt) and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def exhausted(error: BaseException) -> EsperError | None:
    """Return what to say about an error that means that memory or the range of numbers is exhausted; else None."""
    text = described(error).partition(": ")[2]
    refused = isinstance(error, RuntimeError) and any(words in text.lower() for words in _REFUSALS)
    if refused or isinstance(error, MemoryError):
        said = f" ({text.splitlines()[0][:200]})" if text else ""
        hint = "Lower what there is many of: --envs, --epochs, --workers, or sizes of networks and data."
        return EsperError(f"There is not enough memory{said}.", hint=hint)
    if isinstance(error, OverflowError):
        hint = "Lower the largest option: see them with esper policy show."
        return EsperError(f"A number is too large to compute with: {text}.", hint=hint)
    return None


def described(error: BaseException) -> str:
    """Return the type of an exception and what it says, which may be nothing or itself fail."""
    name = type(error).__name__
    try:
        text = str(error).strip()
    except BaseException:
        text = ""
    return f"{name}: {text.rstrip('.')}" if text else name


@frozen
class Owner:
    """Whose code a component is: as messages name it, and `kind/name`, empty for what no plugin registered."""

    label: str
    key: str = ""

    def __str__(self) -> str:
        return self.label

    def doing(self, what: str) -> AbstractContextManager[None]:
        """Return the region in which the component's code runs; see `guarded`."""
        return _Region(self.label, what)

    def breach(self, how: str) -> PluginError:
        """Return the error that the component breaks its contract; `how` is a sentence without its end."""
        check = f" What else it breaks: esper plugins check {self.key}" if self.key else ""
        return PluginError(f"{self.label} breaks its contract: {how}.", hint=f"Report this to its author.{check}")


class Owners(dict[str, Owner]):
    """The owners of the parts of a plan, by kind. A part without a known owner is named by its kind alone."""

    def __missing__(self, kind: str) -> Owner:
        return Owner(f"The {kind}")


UNKNOWN = Owners()
"""No owner is known."""


def close_safely(owner: Owner, close: Callable[[], object], say: Callable[[str], None]) -> None:
    """Close what a component holds; a failure is reported by `say` and raises nothing."""
    try:
        with owner.doing("closing"):
            close()
    except PluginError as error:
        say(f"{error.message} Nothing else is affected.")
