"""The checkpoints of the policies that come with the repository, between slot counts."""

from __future__ import annotations

import pytest

from esper_core.composition.plan import PlanRequest, make_plan
from esper_core.registry.loading import load_index
from esper_spike_dynamic_slots.config import DynamicSlotsConfig
from esper_spike_dynamic_slots.spike import DynamicSlots


@pytest.mark.parametrize(
    ("network", "slots", "portable"),
    [
        ("lstm-slots", (1, 4), True),
        pytest.param("lstm-slots", (1, 2, 3, 4, 5, 8, 12), True, marks=pytest.mark.slow),
        ("lstm-v2", (1, 3), False),
    ],
)
def test_the_matrix(network: str, slots: tuple[int, ...], portable: bool) -> None:
    index = load_index()
    options = ["network.hidden_dim=8"] * (network != "lstm-v1")
    plan = make_plan(PlanRequest(policy=network, slots="2", environment="growth", options=options), index)
    verdict = DynamicSlots(DynamicSlotsConfig()).run(plan, index, slots=slots, only="checkpoint compatibility")
    assert verdict.colour == "GREEN"
    expected = {str(there): {str(here): portable or here == there for here in slots} for there in slots}
    assert verdict.figures["compatibility"] == expected
    assert bool(verdict.figures["compatible_because"]) == portable
