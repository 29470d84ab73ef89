"""What `obs-slots` has that `obs-v3` has not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from attrs import evolve
from torch import Tensor

from esper_core import StateField, StateSpec
from esper_core.contracts.protocols import BuildContext
from esper_obs_v3.config import ObsSlotsConfig
from esper_obs_v3.features import ObsSlots, ObsV3
from esper_obs_v3.schema import STAGES

Quiet = Callable[..., dict[str, Tensor]]


@pytest.fixture
def extractor_of_slots(build: Callable[..., BuildContext]) -> Callable[..., ObsSlots]:
    """Return a function that makes an extractor for N slots."""

    def make(num_slots: int, **options: bool) -> ObsSlots:
        context = build(num_slots)
        channels = StateField("channels", ("E", "N"), "int", "", "", 0, 512)
        return ObsSlots(
            ObsSlotsConfig(**options), evolve(context, state_spec=StateSpec((*context.state_spec.fields, channels)))
        )

    return make


def slots_of(extract: ObsV3, state: dict[str, Tensor]) -> dict[str, list[list[float]]]:
    """Return what is seen of slots: name → a row `[N]` for each environment."""
    obs, schema = extract(state).obs, extract.schema
    blocks = obs[:, len(schema.base) :].unflatten(1, (schema.num_slots, -1))
    return {feature.name: blocks[..., column].tolist() for column, feature in enumerate(schema.per_slot)}


def test_it_passes_every_check_of_its_kind(conforms: Callable[[str], None]) -> None:
    pytest.importorskip("esper_growth", reason="the environment that publishes what these features read")
    conforms("features/obs-slots")


def test_where_a_slot_is_and_how_wide_is_seen_of_empty_ones_too(
    extractor_of_slots: Callable[..., ObsSlots], quiet: Quiet
) -> None:
    channels = torch.tensor([[16, 64, 4], [0, 256, 512]])
    state = quiet({"stage": STAGES.index("DORMANT"), "blueprint": -1}, num_slots=3) | {"channels": channels}
    seen = slots_of(extractor_of_slots(3), state)
    assert seen["position"] == [[0, 0.5, 1]] * 2
    assert seen["width"] == [[0, 0.5, -0.5], [0, 1, 1]] and seen["present"] == [[1, 1, 1], [0, 1, 1]]
    assert seen["is_active"] == [[1, 0, 1]] * 2 and seen["stage.DORMANT"] == [[0, 1, 0]] * 2
    without = slots_of(extractor_of_slots(3, position=False), state)
    assert without == {name: value for name, value in seen.items() if name != "position"}


@pytest.mark.parametrize(("num_slots", "middle"), [(1, 0.0), (5, 0.5), (12, 10 / 11)])
def test_what_a_slot_sees_of_others_does_not_end_at_three(
    extractor_of_slots: Callable[..., ObsSlots], quiet: Quiet, num_slots: int, middle: float
) -> None:
    state = quiet(num_slots=num_slots) | {"channels": torch.full((2, num_slots), 16)}
    state["alpha"] = torch.ones(2, num_slots)
    seen, at = slots_of(extractor_of_slots(num_slots), state), min(num_slots - 1, 2 if num_slots == 5 else 10)
    assert seen["upstream_alpha"][0][at] == pytest.approx(middle)
    assert seen["position"][0][at] == pytest.approx(middle or 0.5)
    assert seen["downstream_alpha"][0][::-1] == pytest.approx(seen["upstream_alpha"][0])


def test_a_slot_means_the_same_for_every_number(extractor_of_slots: Callable[..., ObsSlots]) -> None:
    schemas = [extractor_of_slots(count).schema for count in (1, 3, 12)]
    assert len({(schema.base, schema.per_slot) for schema in schemas}) == 1
    assert [block.per_slot for block in schemas[0].indices] == [True]


def test_all_else_is_as_of_obs_v3(
    extractor_of_slots: Callable[..., ObsSlots], extractor: Callable[..., ObsV3], quiet: Quiet
) -> None:
    state = quiet({"alpha": 0.7, "contribution": 0.02, "gradient_norm": 3.0})
    expected = slots_of(extractor(3), state)
    mine = extractor_of_slots(3)
    state["channels"] = torch.full((2, 3), 16)
    seen = slots_of(mine, state)
    assert {name: seen[name] for name in expected if not name.endswith("stream_alpha")} == {
        name: value for name, value in expected.items() if not name.endswith("stream_alpha")
    }
    assert torch.equal(mine(state).obs[:, :31], extractor(3)(state).obs[:, :31])
