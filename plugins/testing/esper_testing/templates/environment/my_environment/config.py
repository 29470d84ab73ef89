"""Options of the environment. Commands list and check them, so this module imports no torch either."""

from __future__ import annotations

from attrs import frozen

from esper_core import option


@frozen
class MyEnvironmentConfig:
    """Options of `my-environment`; set one with `-o environment.price=0.2`."""

    epochs: int = option(40, low=1, help="Steps per episode; also what `--epochs` sets.")
    wear: float = option(0.1, low=0.0, high=1.0, help="Mean wear per step; at 1 a machine stands still.")
    worn: float = option(0.3, low=0.0, high=1.0, help="Wear from which a machine may be repaired.")
    price: float = option(0.1, low=0.0, help="Price of a repair; 1 is what all machines together earn in a step.")
