"""Options of the critics."""

from __future__ import annotations

from attrs import frozen

from esper_core import option


@frozen
class OpConditionedConfig:
    """Options of `op-conditioned-critic`."""

    baseline: str = option(
        "expected",
        choices=("expected", "sampled"),
        help="expected: V(s) = sum of pi(op|s) Q(s, op); sampled: Q(s, op taken), which starves the operation head.",
    )
