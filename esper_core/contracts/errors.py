"""Every error a user can meet: what happened, which plugin or file, and what to do next.

Messages are complete sentences. `hint` is the next step; `exit_code` is the process status.
"""

from __future__ import annotations

import difflib
import signal
from collections.abc import Iterable


class EsperError(Exception):
    """Base of all errors that are reported without a traceback."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class UserError(EsperError):
    """The request cannot be carried out as written."""

    exit_code = 2


class SlotIdError(UserError):
    """A slot id or a slot count that is not valid."""


class UnknownComponent(UserError):
    """No installed component, kind, policy or plugin has this name."""


class AmbiguousComponent(UserError):
    """Several distributions provide the requested name."""


class IncompatiblePlan(UserError):
    """The chosen components do not fit together."""


class ConfigError(UserError):
    """An option has an unknown key or a value of the wrong type."""


class Refused(ConfigError):
    """A component says that it cannot be used with these options, slots and other components."""


class MissingPackage(UserError):
    """A component needs a package that esper does without, and it is not installed."""


class RegistryFileError(UserError):
    """registry.toml cannot be used; the message starts with `file:line:`."""


class PluginError(EsperError):
    """A plugin failed to load or broke its contract."""

    exit_code = 3


class EpisodesLost(EsperError):
    """An environment cannot go on in the middle of the episodes that its saved state tells of.

    Its `load_state` raises it; new episodes begin then, and a line says that the run does not go on exactly.
    """


class CheckpointMismatch(EsperError):
    """A checkpoint does not fit what is installed or asked for."""

    exit_code = 4


class DamagedFile(CheckpointMismatch):
    """A file is not as esper writes it; the message names the file, and the line where it has lines."""


class Interrupted(EsperError):
    """The user or the system asked the run to stop."""

    exit_code = 130


class Interruption(KeyboardInterrupt):
    """SIGINT has arrived. A plain KeyboardInterrupt may be raised by anyone."""


class Terminated(BaseException):
    """SIGTERM has arrived. Like KeyboardInterrupt it is not an Exception, so that no plugin's failure hides it."""

    exit_code = 128 + signal.SIGTERM


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ` Did you mean 'x'?` for the nearest known name, or an empty string."""
    near = difflib.get_close_matches(name, sorted(set(known)), n=1, cutoff=0.6)
    return f" Did you mean '{near[0]}'?" if near else ""
