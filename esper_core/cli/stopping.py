"""Being asked to stop by the system, as the keyboard does it: through an exception that nothing takes for an error."""

from __future__ import annotations

import signal
from types import FrameType


class Terminated(BaseException):
    """SIGTERM has arrived. Like KeyboardInterrupt it is no Exception, so that no plugin's failure hides it."""

    exit_code = 128 + signal.SIGTERM


def raise_on_terminate() -> None:
    """Let SIGTERM raise Terminated in the main thread."""
    signal.signal(signal.SIGTERM, _raise)


def _raise(_: int, __: FrameType | None) -> None:
    raise Terminated
