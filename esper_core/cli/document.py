"""Standard output: a document of esper's own words, whatever else runs and prints in this process.

Plugins, environments and the libraries under them print: from Python, from C, from processes that they start. All of
that goes to standard error, from before the first plugin is imported until the process ends.
"""

from __future__ import annotations

import ctypes
import errno
import io
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from attrs import frozen

from esper_core.contracts.errors import EsperError

OUT, ERR = 1, 2


class OutputError(EsperError):
    """Standard output cannot be written."""


class ReaderGone(OutputError):
    """The reader of standard output has left, as `head` does; the status is that of other programs then."""

    exit_code = 128 + signal.SIGPIPE


@frozen
class _Claim:
    """Where the document goes; what `sys.stdout` was; a descriptor of what 1 was."""

    stream: TextIO
    before: TextIO
    kept: int


_claim: _Claim | None = None


def claim() -> bool:
    """Keep standard output for `write` alone, until `release`; return False where it is claimed already."""
    global _claim
    if _claim is not None:
        return False
    before = sys.stdout
    with suppress(OSError, ValueError):
        before.flush()
    kept, stream = os.dup(OUT), before
    with suppress(OSError, ValueError, AttributeError):
        if before.fileno() == OUT:
            stream = open(kept, "w", encoding=before.encoding, errors=before.errors, closefd=False)  # noqa: SIM115
    _claim = _Claim(stream, before, kept)
    os.dup2(ERR, OUT)
    sys.stdout = sys.stderr
    return True


def release() -> None:
    """Give standard output back as it was; what others have printed and not flushed goes to standard error before."""
    global _claim
    if _claim is None:
        return
    claim, _claim = _claim, None
    for printed in (sys.stdout, claim.before):
        with suppress(OSError, ValueError):
            printed.flush()
    ctypes.CDLL(None).fflush(None)
    sys.stdout = claim.before
    os.dup2(claim.kept, OUT)
    os.close(claim.kept)


@contextmanager
def parsing() -> Iterator[None]:
    """Let the command line parser print, by `sys.stdout`; what it has printed, such as help, is the document."""
    sys.stdout = printed = _Printed()
    try:
        yield
    finally:
        sys.stdout = sys.stderr
        if text := printed.getvalue():
            write(text)


def divert_standard_output() -> None:
    """Send `sys.stdout` to standard error where a command has claimed the document: plugin code is about to run."""
    if _claim is not None:
        sys.stdout = sys.stderr


def stream() -> TextIO:
    """Return the stream of the document, to ask what it can; it is written by `write`."""
    return sys.stdout if _claim is None else _claim.stream


def write(text: str) -> None:
    """Write to standard output, at once; raises OutputError, or ReaderGone when nobody reads it any more."""
    document = stream()
    try:
        document.write(text)
        document.flush()
    except (OSError, ValueError) as error:
        _mute(document)
        if isinstance(error, OSError) and error.errno == errno.EPIPE:
            raise ReaderGone("Whoever read standard output has left before all was written.") from error
        reason = error.strerror if isinstance(error, OSError) else error
        raise OutputError(f"Standard output cannot be written: {reason}.") from error


def write_error(text: str) -> None:
    """Write to standard error, at once; where that is not possible there is nobody to tell."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (OSError, ValueError):
        _mute(sys.stderr)


def open_streams() -> None:
    """Lead standard streams that were closed nowhere, and let none fail at a character that it does not know."""
    for number in (0, OUT, ERR):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number is this one
    sys.stdout = sys.stdout or open(OUT, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(ERR, "w", closefd=False)  # noqa: SIM115
    for standard in (sys.stdout, sys.stderr):
        if isinstance(standard, io.TextIOWrapper):
            standard.reconfigure(errors="backslashreplace")


class _Printed(io.StringIO):
    """What the parser prints, with the colours that it would have on the terminal."""

    def isatty(self) -> bool:
        return stream().isatty()


def _mute(stream: TextIO) -> None:
    """Lead a stream nowhere: what it still holds would fail once more when the process ends."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
