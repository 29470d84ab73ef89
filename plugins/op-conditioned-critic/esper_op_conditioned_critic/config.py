"""Options of the critics."""

from __future__ import annotations

from attrs import frozen

from esper_core import option

TOLD = "Also see what the environment tells critics alone; acting needs none of it."


@frozen
class StateValueConfig:
    """Options of `state-value`."""

    privileged: bool = option(False, help=TOLD)


@frozen
class OpConditionedConfig:
    """Options of `op-conditioned-critic`."""

    baseline: str = option(
        "expected",
        choices=("expected", "sampled"),
        help="expected: V(s) = sum of pi(op|s) Q(s, op); sampled: Q(s, op taken), which starves the operation head.",
    )
    privileged: bool = option(False, help=TOLD)
