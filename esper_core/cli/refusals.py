"""Errors of the operating system that nobody else has explained, in one sentence each."""

from __future__ import annotations

import errno
import os

from esper_core.contracts.errors import EsperError, UserError

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


def named(error: OSError) -> EsperError:
    """Return an error that says which file it is about, and what to do."""
    reason = error.strerror or str(error) or type(error).__name__
    places = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
    if not places and error.errno == errno.ENOENT:
        return UserError("The working directory is no longer there.", hint="Change to another one: cd")
    message = f"{' → '.join(places)}: {reason}." if places else f"The operating system refuses: {reason}."
    kind = UserError if error.errno in _OF_THE_USER else EsperError
    return kind(message, hint=_HINTS.get(error.errno or 0, "Use --debug for the traceback."))
