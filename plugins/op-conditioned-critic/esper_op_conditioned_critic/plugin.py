"""Registers the critics. Importing this module imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

from esper_core import ComponentSpec, hookimpl


@hookimpl
def esper_components() -> Iterator[ComponentSpec]:
    """Register `op-conditioned-critic` and `state-value`."""
    yield ComponentSpec(
        kind="critic",
        name="op-conditioned-critic",
        factory="esper_op_conditioned_critic.op_conditioned:OpConditionedCritic",
        config="esper_op_conditioned_critic.config:OpConditionedConfig",
        summary="Q(s, op); its expectation under the policy is the baseline",
        provides=("critic:q-by-op",),
        requires=("network:op-logits",),
    )
    yield ComponentSpec(
        kind="critic",
        name="state-value",
        factory="esper_op_conditioned_critic.state_value:StateValueCritic",
        config="esper_op_conditioned_critic.config:StateValueConfig",
        summary="V(s)",
    )
