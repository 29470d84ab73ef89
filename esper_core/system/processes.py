"""Calls in other processes: what is raised there arrives here as text, for an exception may not survive pickling."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from attrs import frozen

from esper_core.contracts.errors import EsperError, PluginError
from esper_core.contracts.foreign import DEBUG_HINT, described


class RemoteTraceback(Exception):
    """The traceback of an error in another process; it is the cause of the one that is raised here."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        """Return the whole traceback, set apart."""
        return f"\n\n{self.text}"


@frozen
class Failure:
    """What was raised in another process.

    Attributes:
        said: Type and message.
        traceback: Its traceback.
        modules: Modules that the traceback goes through, the outermost first, causes after what they caused.
        lineage: For an error of esper's own, its class and the bases of that, by module and name; else nothing.
        message, hint, exit_code: What such an error says.
    """

    said: str
    traceback: str
    modules: tuple[str, ...]
    lineage: tuple[tuple[str, str], ...] = ()
    message: str = ""
    hint: str = ""
    exit_code: int = 1

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """Return all that can be said of an error as text."""
        text = "".join(traceback.format_exception(error))
        failure = described(error), text, tuple(_modules(error))
        if not isinstance(error, EsperError):
            return cls(*failure)
        lineage = tuple((base.__module__, base.__qualname__) for base in type(error).__mro__)
        return cls(*failure, lineage, error.message, error.hint, error.exit_code)

    def error(self, owner: str, doing: str) -> EsperError:
        """Return what is to be raised here.

        An error of esper's own comes back as what it was, or as the nearest class that is known here; anything else
        becomes a PluginError.

        Args:
            owner: Whose code it was.
            doing: What it was asked for, as in `esper_core.contracts.foreign.guarded`.
        """
        error: EsperError = PluginError(f"{owner} failed while {doing}: {self.said}.", hint=DEBUG_HINT)
        if self.lineage:
            known = {(kind.__module__, kind.__qualname__): kind for kind in _errors(EsperError)}
            kind = next(known[name] for name in self.lineage if name in known)
            error = kind.__new__(kind)
            EsperError.__init__(error, self.message, hint=self.hint)
            error.exit_code = self.exit_code
        error.__cause__ = RemoteTraceback(self.traceback)
        return error


def attempted(call: Callable[[], Any]) -> bytes:
    """Return what a call returned, or how it failed, in a form that can be sent; also where it asks to exit."""
    try:
        return pickle.dumps(call())
    except BaseException as error:
        return pickle.dumps(Failure.of(error))


def _errors(kind: type[EsperError]) -> Iterator[type[EsperError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _errors(below)


def _modules(error: BaseException) -> Iterator[str]:
    for frame, _ in traceback.walk_tb(error.__traceback__):
        yield str(frame.f_globals.get("__name__", ""))
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        yield from _modules(cause)
