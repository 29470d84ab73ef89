"""Options of the task. Commands list and check them, so this module imports no torch either."""

from __future__ import annotations

from attrs import frozen

from esper_core import option


@frozen
class MyTaskConfig:
    """Options of `my-task`; set one with `-o task.noise=1`."""

    samples: int = option(600, low=10, help="Training samples; fewer make the task harder.")
    directions: int = option(4, low=2, help="Directions of the stripes, which are the classes.")
    noise: float = option(0.5, low=0.0, help="Spread of the noise on every pixel; stripes are from -1 to 1.")
