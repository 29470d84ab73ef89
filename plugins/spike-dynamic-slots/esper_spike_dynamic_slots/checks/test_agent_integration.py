"""Agent integration: collector, trainer and the plan's environment together, for N slots."""

from __future__ import annotations

import math
from collections.abc import Callable

from esper_spike_dynamic_slots.played import Session
from esper_spike_dynamic_slots.trained import Trained

CATEGORY = "agent integration"
Record = Callable[[str, object], None]


def test_the_buffers_follow_n(session: Session, num_slots: int) -> None:
    """What is stored of an episode is as wide as the observation and the actions of N slots."""
    rollout, actions = session.trainer.rollout, session.environment.actions
    width = session.features.schema.dim
    assert rollout.features.obs.shape[-1] == width, (
        f"the buffer is {rollout.features.obs.shape[-1]} wide, the observation {width}"
    )
    for head in actions.heads:
        width = rollout.masks.heads[head.name].shape[-1]
        assert width == head.size, f"the buffer has {width} entries for the {head.size} labels of head '{head.name}'"
    if rollout.masks.slot_given_op is not None:
        found = rollout.masks.slot_given_op.shape[-1]
        assert found == num_slots, f"the buffer has {found} slots per operation, not {num_slots}"


def test_an_update_is_finite(learned: Trained, session: Session, record_property: Record) -> None:
    """One update on real episodes: loss, gradient and KL are finite; how often slots were chosen is noted."""
    (update,) = learned.updates
    metrics = update.metrics
    values = {name: metrics.get(name) for name in ("loss", "grad_norm", "kl")}
    broken = [name for name, value in values.items() if value is None or not math.isfinite(value)]
    assert not broken, f"not finite: {', '.join(broken)}"
    assert update.environment_steps > 0, "no step was taken"
    record_property("steps", update.environment_steps)
    if session.environment.actions.slot is not None:
        record_property("slot choices", metrics[f"used/{session.environment.actions.slot}"])


def test_network_and_critic_move(learned: Trained) -> None:
    """Each has a parameter that changed. In short episodes not every head has a choice, so not all of them must."""
    moved = {name.partition(".")[0] for name in learned.before.keys() - learned.still}
    still = {name.partition(".")[0] for name in learned.before} - moved
    assert not still, f"an update did not move the {' and the '.join(sorted(still))}"


def test_acting_and_learning_agree(learned: Trained) -> None:
    """The log-probabilities that were stored when acting are those that learning starts from."""
    metrics = learned.updates[0].metrics
    gap, ratio = metrics["behaviour_log_prob_gap"], metrics["ratio_at_start"]
    assert gap is not None and gap < 1e-3, f"log-probabilities of acting and learning differ by {gap}"
    assert ratio is not None and abs(ratio - 1) < 1e-5, f"the first probability ratio is {ratio}"
