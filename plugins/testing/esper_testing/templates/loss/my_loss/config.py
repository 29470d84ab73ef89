"""Options of the loss. Commands list and check them, so this module imports no torch either."""

from __future__ import annotations

from attrs import frozen

from esper_core import option


@frozen
class MyLossConfig:
    """Options of `my-loss`; set one with `-o loss.clip=0.1`."""

    clip: float = option(0.2, low=0.0, help="How far the probability ratio may move before its gradient stops.")
    entropy: float = option(0.01, low=0.0, help="Weight of the entropy bonus; more explores longer.")
    value_coefficient: float = option(0.5, low=0.0, help="Weight of the critic's squared error.")
    target_kl: float = option(
        0.03, low=0.0, help="Learning from a rollout ends when the joint KL exceeds 1.5 times this; 0 is off."
    )
