"""Network construction: a policy can be built for N slots, and everything about it follows from N."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from esper_core.composition.plan import Plan
from esper_core.contracts.protocols import NetworkOutput
from esper_spike_dynamic_slots.fixtures import Conforms
from esper_testing.case import ENVS, STEPS, Case
from esper_testing.conformance import network
from esper_testing.states import random_state

CATEGORY = "network construction"


def test_it_is_built(case: Case) -> None:
    """Network and critic are modules with finite weights."""
    for name, module in (("network", case.policy.network), ("critic", case.policy.critic)):
        assert isinstance(module, nn.Module), f"the {name} is a {type(module).__name__}, not a torch.nn.Module"
        bad = [key for key, value in module.state_dict().items() if not torch.isfinite(value).all()]
        assert not bad, f"the {name} starts with weights that are not finite: {', '.join(bad)}"
    assert sum(p.numel() for p in case.policy.parameters()) > 0, "the policy has no parameters"


def test_every_head_has_the_width_of_its_labels(conforms: Conforms) -> None:
    """There is one row of logits per head of the action table, one logit per label."""
    conforms(network.shapes)


def test_the_slot_head_has_one_output_per_slot(case: Case) -> None:
    """The slot head has N outputs."""
    name = case.description.actions.slot
    if name is None:
        pytest.skip("the actions have no slot head")
    width = _run(case).logits[name].shape[-1]
    assert width == case.num_slots, f"the slot head has {width} outputs for {case.num_slots} slots"


def test_the_observation_has_one_block_per_slot(case: Case) -> None:
    """The observation is as wide as its schema, which has N slot blocks."""
    features, schema = case.features(), case.schema
    if not schema.per_slot:
        pytest.skip("the features have no slot blocks")
    assert schema.num_slots == case.num_slots, f"{schema.num_slots} slot blocks for {case.num_slots} slots"
    assert features.obs.shape == (ENVS, STEPS, schema.dim), f"obs {tuple(features.obs.shape)}, schema {schema.dim}"
    widths = {name: value.shape[-1] for name, value in features.indices.items()}
    declared = {block.name: block.width for block in schema.indices}
    assert widths == declared, f"index blocks {widths}, schema {declared}"


def test_every_slot_of_the_state_is_seen(case: Case, esper_plan: Plan) -> None:
    """Changing the state of any one slot changes its block of the observation."""
    spec, actions = case.description.state_spec, case.description.actions
    per_slot = {field.name: field.shape.index("N") for field in spec.fields if "N" in field.shape}
    if not case.schema.per_slot or not per_slot:
        pytest.skip("the features have no slot blocks")
    here, there = (
        random_state(spec, actions, ENVS, case.num_slots, torch.Generator().manual_seed(seed)) for seed in (0, 1)
    )
    before = case.extract(here).obs
    for slot in range(case.num_slots):
        state = {name: value.clone() for name, value in here.items()}
        for name, axis in per_slot.items():
            state[name].select(axis, slot).copy_(there[name].select(axis, slot))
        columns = case.slot_columns(slot)
        seen = not torch.equal(before[:, columns], case.extract(state).obs[:, columns])
        assert seen, f"features '{esper_plan.component('features').name}' do not see slot {slot} of {case.num_slots}"


def test_the_input_width_follows_the_schema(case: Case, neighbour_case: Case) -> None:
    """One slot more widens the input by at least its block; an encoder shared by all slots keeps its width."""
    smaller, larger = sorted((case, neighbour_case), key=lambda case: case.num_slots)
    before, after = smaller.network.input_dim, larger.network.input_dim
    if before < smaller.schema.dim:
        assert after == before, f"a per-slot input of {before} became {after} with another slot"
    else:
        wider = larger.schema.dim - smaller.schema.dim
        assert after - before >= wider, f"input {before} became {after}, but the observation grew by {wider}"


def test_every_slot_reaches_the_logits(case: Case) -> None:
    """Changing the observation of any one slot changes the logits."""
    if not case.schema.per_slot:
        pytest.skip("the features have no slot blocks")
    features = case.features()
    before = _run(case).logits
    for slot in range(case.num_slots):
        obs = features.obs.clone()
        obs[..., case.slot_columns(slot)] += 1.0
        after = _run(case, obs).logits
        moved = any(not torch.equal(before[name], after[name]) for name in before)
        assert moved, f"slot {slot} of {case.num_slots} does not reach the network"


def test_the_recurrent_state_has_one_row_per_environment(conforms: Conforms) -> None:
    """Every tensor of the state has the environments at dimension 1, before and after a run."""
    conforms(network.state)


@torch.no_grad()
def _run(case: Case, obs: Tensor | None = None) -> NetworkOutput:
    features = case.features()
    if obs is not None:
        features = features._replace(obs=obs)
    return case.network(features, case.network.initial_state(ENVS), torch.zeros(ENVS, STEPS, dtype=torch.bool))
