"""Child processes that answer requests.

What is raised in a child arrives as text, for an exception may not survive pickling. A child ends with its parent.
"""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from attrs import frozen

from esper_core.contracts.errors import EsperError, PluginError
from esper_core.contracts.foreign import DEBUG_HINT, described

START_METHOD = "fork" if sys.platform == "linux" else "spawn"
"""Forking needs no second import of torch; other systems' libraries do not survive it."""

Answer = Callable[[Any], Any]
"""From a request to its result; both can be pickled."""


@frozen
class Purpose:
    """What children are for, as messages say it.

    Attributes:
        name: Prefix of the names of the processes, such as `esper-workers`.
        doing: What they do, such as `playing episodes`.
        killed, died: What to do when one was killed, and when one ended otherwise.
        blame: From the modules of a traceback to whose code failed, if that is known.
        rows: What they have shares of, such as `environments`, where they have some.
    """

    name: str
    doing: str
    killed: str
    died: str
    blame: Callable[[Sequence[str]], str | None]
    rows: str = "rows"


@frozen(eq=False)
class Child:
    """A process and the pipe to it; every request has one answer."""

    purpose: Purpose
    process: BaseProcess
    connection: Connection

    def ask(self, request: Any) -> None:
        """Send a request; raises EsperError when the process is gone."""
        try:
            self.connection.send_bytes(pickle.dumps(request))
        except OSError as error:
            raise self._gone() from error

    def answer(self) -> Any:
        """Wait for the result of a request; raises EsperError when the process is gone, or what was raised there."""
        try:
            result = pickle.loads(self.connection.recv_bytes())
        except (EOFError, OSError) as error:
            raise self._gone() from error
        if isinstance(result, Failure):
            owner = self.purpose.blame(result.modules) or f"A process for {self.purpose.doing}"
            raise result.error(owner, self.purpose.doing)
        return result

    def _gone(self) -> EsperError:
        self.process.join(timeout=1)
        status = self.process.exitcode
        return EsperError(
            f"A process for {self.purpose.doing} ended unexpectedly (exit status {status}).",
            hint=self.purpose.killed if status == -signal.SIGKILL else self.purpose.died,
        )


def start_children(purpose: Purpose, begins: Iterable[Callable[[], Answer]]) -> list[Child]:
    """Start a process for each of `begins`, which is called there before the first request and returns what answers.

    It must survive pickling where processes are not forked. If it fails, that is the answer.
    """
    context: Any = multiprocessing.get_context(START_METHOD)
    children: list[Child] = []
    try:
        for number, begin in enumerate(begins):
            here, there = context.Pipe()
            inherited = [here, *(child.connection for child in children)] if START_METHOD == "fork" else []
            name = f"{purpose.name}-{number}"
            process = context.Process(target=_serve, args=(begin, there, inherited), daemon=True, name=name)
            process.start()
            there.close()
            children.append(Child(purpose, process, here))
    except BaseException:
        end_children(children)
        raise
    return children


def end_children(children: Iterable[Child]) -> None:
    """End processes, whatever they are doing."""
    children = list(children)
    for child in children:
        child.connection.close()
        child.process.kill()
    for child in children:
        child.process.join()


def _serve(begin: Callable[[], Answer], connection: Connection, inherited: Iterable[Connection]) -> None:
    """Answer requests until the other end of the pipe is closed."""
    # Ctrl-C reaches the whole group; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # An end of a pipe that stays open here would keep another process waiting for ever.
    for other in inherited:
        other.close()
    # Nothing is flushed when the process is killed.
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(line_buffering=True)
    answer: Answer | None = None

    def result() -> Any:
        nonlocal answer
        answer = answer or begin()
        return answer(pickle.loads(request))

    with suppress(EOFError, OSError):
        while True:
            request = connection.recv_bytes()
            connection.send_bytes(attempted(result))


# Errors of another process ------------------------------------------------------------------------------------------


class RemoteTraceback(Exception):
    """The traceback of an error in another process; it is the cause of the one that is raised here."""

    def __str__(self) -> str:
        return f"\n\n{self.args[0]}"


@frozen
class Failure:
    """What was raised in another process: its type and message, and its traceback.

    `modules` are those that the traceback goes through, the outermost first, causes after what they caused. `ours` is
    an error of esper's own as the nearest class of `esper_core.contracts.errors`.
    """

    said: str
    traceback: str
    modules: tuple[str, ...]
    ours: EsperError | None = None

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """Return an error as text."""
        ours = None
        if isinstance(error, EsperError):
            kind = next(base for base in type(error).__mro__ if base.__module__ == EsperError.__module__)
            ours = kind(error.message, hint=error.hint)
            ours.exit_code = error.exit_code
        return cls(described(error), "".join(traceback.format_exception(error)), tuple(_modules(error)), ours)

    def error(self, owner: str, doing: str) -> EsperError:
        """Return what is to be raised here: a PluginError as of `guarded`, or what an error of esper's own was."""
        error = self.ours or PluginError(f"{owner} failed while {doing}: {self.said}.", hint=DEBUG_HINT)
        error.__cause__ = RemoteTraceback(self.traceback)
        return error


def attempted(call: Callable[[], Any]) -> bytes:
    """Return what a call returned, or how it failed, in a form that can be sent; also where it asks to exit."""
    try:
        return pickle.dumps(call())
    except BaseException as error:
        return pickle.dumps(Failure.of(error))


def _modules(error: BaseException) -> Iterator[str]:
    for frame, _ in traceback.walk_tb(error.__traceback__):
        yield str(frame.f_globals.get("__name__", ""))
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        yield from _modules(cause)
