"""What is said of an error that ends a command, with the status to end with."""

from __future__ import annotations

import errno
import os

import typer

from esper_core.contracts.errors import EsperError, Interrupted, PluginError, Terminated, UserError
from esper_core.contracts.foreign import DEBUG_HINT, described, exhausted
from esper_core.registry.index import Command

_OF_THE_USER = {
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EACCES, errno.EPERM, errno.EROFS, errno.ELOOP),
    *(errno.ENAMETOOLONG, errno.EINVAL, errno.ENOTEMPTY, errno.EXDEV, errno.ENXIO),
}
"""What another path, or other permissions, would mend."""

_HINTS = {
    errno.ENAMETOOLONG: "File systems allow 255 bytes for a name. Choose a shorter one.",
    errno.ENOENT: "Look at the path: a part of it is not there.",
    errno.EACCES: "Look at its permissions, or choose another place.",
    errno.EROFS: "Choose another place: nothing can be written there.",
    errno.ENOSPC: "Make room, and start again.",
    errno.EDQUOT: "Make room, and start again.",
    errno.EMFILE: "Allow more open files: ulimit -n 4096",
    errno.ENOMEM: "Free memory, or ask for less.",
}


def explained(error: BaseException, running: Command | None) -> EsperError:
    """Return an error as one for people; `running` is the command during which it was raised."""
    if isinstance(error, EsperError):
        return error
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return Interrupted("Stopped.")
    if isinstance(error, Terminated):
        stopped = Interrupted("Terminated.")
        stopped.exit_code = error.exit_code
        return stopped
    if isinstance(error, OSError):
        return _refused(error)
    if refusal := exhausted(error):
        return refusal
    if running is not None and not running.is_core:
        return PluginError(f"{running} failed: {described(error)}.", hint=DEBUG_HINT)
    hint = "This is a defect. Run it again with --debug for the traceback."
    return EsperError(f"Unexpected {described(error)}", hint=hint)


def _refused(error: OSError) -> EsperError:
    reason = error.strerror or str(error) or type(error).__name__
    places = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
    if not places and error.errno == errno.ENOENT:
        return UserError("The working directory is no longer there.", hint="Change to another one: cd")
    message = f"{' → '.join(places)}: {reason}." if places else f"The operating system refuses: {reason}."
    kind = UserError if error.errno in _OF_THE_USER else EsperError
    return kind(message, hint=_HINTS.get(error.errno or 0, "Use --debug for the traceback."))
