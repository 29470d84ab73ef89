"""Minimal PPO training: ten updates of features, network, critic and loss alone, in the practice environment."""

from __future__ import annotations

import math
from collections.abc import Callable

from esper_core.learning.monitors import mean_of
from esper_spike_dynamic_slots.trained import UPDATES, Trained
from esper_testing.case import Case

CATEGORY = "minimal PPO training"
Record = Callable[[str, object], None]


def test_ten_updates_have_a_finite_loss(practised: Trained, record_property: Record) -> None:
    """Loss, gradient and KL stay finite; how far the policy moves is noted."""
    assert len(practised.updates) == UPDATES
    for name in ("loss", "grad_norm", "kl"):
        values = [update.metrics.get(name) for update in practised.updates]
        broken = [i + 1 for i, value in enumerate(values) if value is None or not math.isfinite(value)]
        assert not broken, f"{name} is not finite in updates {broken}"
    for name in ("grad_norm", "kl", "clip_fraction"):
        record_property(name, mean_of(update.metrics.get(name) for update in practised.updates))
    largest = [update.metrics["ratio_max"] for update in practised.updates if update.metrics["ratio_max"] is not None]
    record_property("ratio_max", max(largest, default=None))
    record_property("reward at first", practised.updates[0].metrics["reward_sum"])
    record_property("reward at last", mean_of(update.metrics["reward_sum"] for update in practised.updates[-3:]))


def test_every_parameter_moves(practised: Trained) -> None:
    """Every trainable parameter has changed."""
    assert not practised.still, f"{UPDATES} updates did not move {', '.join(practised.still)}"


def test_the_first_ratio_is_one(practised: Trained) -> None:
    """Before the first step of an update, the policy is the one that acted."""
    off = max(abs((update.metrics["ratio_at_start"] or math.inf) - 1) for update in practised.updates)
    assert off < 1e-5, f"the first probability ratio of an update is 1 ± {off:.3g}"


def test_the_slot_head_is_learned(practised: Trained, case: Case, slot_head: str) -> None:
    """The loss reaches the slot logits in every update; with a single slot there is nothing to learn."""
    norms = [update.metrics.get(f"grad_norm/{slot_head}") for update in practised.updates]
    silent = [i + 1 for i, norm in enumerate(norms) if not norm]
    assert not silent or case.num_slots == 1, f"no gradient reaches the slot logits in updates {silent}"
