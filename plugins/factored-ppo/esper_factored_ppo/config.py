"""Options of the loss."""

from __future__ import annotations

from attrs import frozen

from esper_core import option


@frozen
class FactoredPpoConfig:
    """Options of `factored-ppo`."""

    clip: float = option(
        0.2, low=0.0, high=1e6, help="How far a head's probability ratio may move before its gradient stops."
    )
    entropy: float = option(0.01, low=0.0, high=1e6, help="Weight of the entropy bonus; more explores longer.")
    entropy_half_life: float = option(
        0.0, low=0.0, help="Updates over which the entropy bonus loses half its weight, again and again; 0 keeps it."
    )
    value_coefficient: float = option(0.5, low=0.0, high=1e6, help="Weight of the critic's squared error.")
    target_kl: float = option(
        0.03, low=0.0, high=1e6, help="Learning from a rollout ends when the joint KL exceeds 1.5 times this; 0 is off."
    )
    ratio_mode: str = option(
        "per_head", choices=("per_head", "joint"), help="Clip each head's ratio by itself, or their product."
    )
    child_baseline: float = option(
        0.0, low=0.0, high=1.0, help="Share of Q(s, op) - V(s) taken off the advantage of heads below the operation."
    )

    def __attrs_post_init__(self) -> None:
        if self.ratio_mode == "joint" and self.child_baseline:
            raise ValueError("child_baseline needs ratio_mode=per_head: one joint ratio has one advantage")
