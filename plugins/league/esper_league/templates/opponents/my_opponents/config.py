"""Options of the opponents. Commands list and check them, so this module imports no torch either."""

from __future__ import annotations

from attrs import frozen

from esper_core import option


@frozen
class MyOpponentsConfig:
    """Options of `my-opponents`."""

    certain: bool = option(False, help="It always does what it thinks best, instead of drawing as the learner does.")
