"""The probes' environments keep to the contract, and their answers are what the table says."""

from __future__ import annotations

import pytest
import torch
from gymnasium.vector import AutoresetMode
from torch import Tensor

from esper_core.policy.masking import check_masks
from esper_factored_ppo.probes.environment import ProbeEnvironment
from esper_factored_ppo.probes.environments import aiming, bandit, delayed, leak, limit, t_maze
from esper_factored_ppo.probes.probe import Probe, at_least, at_most, near
from esper_factored_ppo.probes.table import PROBES

PROBE = pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)


def legal(environment: ProbeEnvironment, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the first legal entry of every head, and numbers of 0."""
    actions = {name: mask.long().argmax(-1) for name, mask in environment.masks(state).heads.items()}
    return actions | {h.name: torch.zeros(environment.num_envs, len(h.dims)) for h in environment.actions.continuous}


@PROBE
def test_it_is_an_environment_that_keeps_to_its_tables(probe: Probe) -> None:
    environment = probe.environment(4, probe.horizon)
    assert environment.metadata["autoreset_mode"] is AutoresetMode.DISABLED and environment.actions.root == "op"
    state, _ = environment.reset(seed=3)
    for step in range(probe.horizon + 2):
        assert set(state) == set(environment.state_spec.names)
        for entry in environment.state_spec.fields:
            assert state[entry.name].shape == entry.sizes(4, 0, 0)
            assert bool((state[entry.name] >= entry.low).all() & (state[entry.name] <= entry.high).all())
        masks = environment.masks(state)
        check_masks(environment.actions, masks)
        before = {name: value.clone() for name, value in state.items()}
        state, reward, terminated, truncated, _ = environment.step(legal(environment, state))
        assert reward.shape == (4,) and reward.dtype == torch.float32
        ended = truncated if environment.truncates else terminated
        assert torch.equal(ended, environment.lengths == step + 1)
        assert not (terminated & truncated).any()
        assert not reward[environment.lengths <= step].any()
        if step >= probe.horizon:
            assert all(torch.equal(before[name], state[name]) for name in before)


@PROBE
def test_a_seed_begins_the_same_episodes_again(probe: Probe) -> None:
    environment = probe.environment(32, probe.horizon)
    first, again, other = (environment.reset(seed=seed)[0] for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    if probe.name.split()[0] in {"P2", "P5", "P9", "P10", "P13"}:
        assert any(not torch.equal(first[name], other[name]) for name in first)


@PROBE
def test_rows_begin_anew_while_the_others_go_on(probe: Probe) -> None:
    environment = probe.environment(16, max(probe.horizon, 4))
    state, _ = environment.reset(seed=1)
    while int(environment.t.max()) < 3:
        state, *_ = environment.step(legal(environment, state))
    mask = torch.arange(16) % 3 == 0
    before, again = environment.t, environment.reset(options={"reset_mask": mask.numpy()})[0]
    assert torch.equal(environment.t, torch.where(mask, 0, before))
    assert all(torch.equal(again[name][~mask], state[name][~mask]) for name in state)
    first, _ = environment.reset(seed=5)
    environment.reset(seed=1)
    whole, _ = environment.reset(seed=5, options={"reset_mask": mask.numpy()})
    if probe.name[:3] != "P11":  # asks for the cue of the episode before
        assert all(torch.equal(whole[name][mask], first[name][mask]) for name in first)


def test_the_bandit_pays_by_operation_alone() -> None:
    environment = bandit.OpOnly(6 * 500, 1)
    environment.reset(seed=0)
    op = torch.arange(6).repeat_interleave(500)
    reward = environment.step({"op": op, "slot": op % 2, "how": op % 5})[1]
    means = reward.view(6, 500).mean(1)
    torch.testing.assert_close(means, torch.tensor(bandit.PAY), atol=0.1, rtol=0)
    assert int(means.argmax()) == bandit.BEST


def test_what_is_asked_for_is_the_cue_of_the_episode_before() -> None:
    environment = leak.CueBefore(64, 3)
    environment.reset(seed=0)
    cue = environment.cue
    state, _ = environment.reset(seed=1)
    assert not state["cue"].any()
    state, reward, *_ = environment.step({"op": cue})
    assert reward.tolist() == [1] * 64
    assert torch.equal(state["cue"], 2.0 * environment.cue - 1)


def test_the_sign_is_out_of_sight_in_the_corridor() -> None:
    environment = t_maze.TMaze(8, 16)
    assert environment.lengths.tolist() == [2, 2, 4, 4, 8, 8, 16, 16]
    state, _ = environment.reset(seed=0)
    assert state["sign"].tolist() == [-1, 1] * 4
    turn, earned = (state["sign"] > 0).long() + 1, torch.zeros(8)
    for step in range(16):
        legal = environment.masks(state).heads["op"]
        assert legal[:, 0].tolist() == [length > step + 1 for length in environment.lengths]
        state, reward, *_ = environment.step({"op": torch.where(legal[:, 0], 0, turn)})
        assert not state["sign"].any()
        earned += reward
    assert earned.tolist() == [1] * 8


def test_numbers_pay_by_their_distance_and_the_ridge_is_where_rewards_are() -> None:
    environment = aiming.Choice(3, 1)
    state, _ = environment.reset(seed=0)
    aim = aiming.target(state["x"])
    aim[1, 0] += 0.5
    reward = environment.step({"op": torch.tensor([1, 1, 0]), "aim": aim})[1]
    torch.testing.assert_close(reward, torch.tensor([1.0, 0.75, aiming.WAITING_PAYS]))
    ridge = limit.Ridge(4000, 2)
    ridge.reset(seed=0)
    state, first, *_ = ridge.step({})
    second = ridge.step({})[1]
    assert not first.any() and torch.equal(second, state["ridge"].float()) and 0.45 < float(second.mean()) < 0.55


@pytest.mark.parametrize(("op", "earned"), [(0, 0.0), (1, 1.0), (2, 0.1), (3, 0.1)])
def test_the_garden_pays_late_for_seeds_and_at_once_for_decoys(op: int, earned: float) -> None:
    environment = delayed.Garden(16, 150)
    environment.reset(seed=0)
    total = sum(environment.step({"op": torch.full((16,), op)})[1] for _ in range(150))
    torch.testing.assert_close(total, torch.full((16,), earned))


def test_goals() -> None:
    assert (near(1, 0.1).text, at_least(0.95).text, at_most(0).text) == ("= 1 ± 0.1", "≥ 0.95", "≤ 0")
    for goal, good, bad in ((near(1, 0.1), 0.95, 1.2), (at_least(0.95), 0.95, 0.94), (at_most(0), 0, 1)):
        assert goal.reached(good) and not goal.reached(bad) and not goal.reached(float("nan"))
