"""Options of the critic. Commands list and check them, so this module imports no torch either."""

from __future__ import annotations

from attrs import frozen

from esper_core import option


@frozen
class MyCriticConfig:
    """Options of `my-critic`; set one with `-o critic.hidden_dim=256`."""

    hidden_dim: int = option(64, low=1, help="Width of the hidden layer; wider fits values that are harder to tell.")
