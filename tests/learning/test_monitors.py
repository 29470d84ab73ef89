"""What the metrics mean, on data for which the right number is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from esper_core.contracts.protocols import Values
from esper_core.learning import monitors
from esper_core.learning.rollout import Rollout
from esper_core.policy.policy import Evaluation
from tests.learning.conftest import SCHEMA, SPEC
from tests.learning.test_rollout import ready

T, E = 4, 2


def judged(returns: Tensor, taken: Tensor, std: float = 1.0, mean: float = 0.0) -> dict[str, float | None]:
    """Return the critic's metrics for returns and predictions `[T, E]` in units of reward; the baseline is 0.3 off."""
    rollout = Rollout(T, E, SPEC, SCHEMA, torch.device("cpu"), torch.float64)
    rollout.valid.fill_(True)
    rollout.valid[3, 1] = False
    baseline = taken + 0.3
    rollout.taken.copy_((taken - mean) / std)
    rollout.baseline[:-1].copy_((baseline - mean) / std)
    rollout.returns.copy_(returns)
    rollout.advantages.copy_(returns - baseline)
    rollout.actions["op"].copy_(torch.tensor([[0, 0], [1, 1], [1, 0], [0, 2]]))
    rollout.masks["op"].fill_(True)
    rollout.masks["op"][:, 1, 2] = False
    by_op = torch.tensor([1.0, 4.0, 2.0]).expand(E, T, 3).clone()
    by_op[1, :, 2] = 99.0  # illegal there
    values = Values(rollout.baseline[:-1].T, rollout.taken.T, by_op)
    old = Evaluation(None, values, {}, {}, {}, {}, None)  # type: ignore[arg-type]
    return monitors.critic_metrics(rollout, rollout.steps(), old, std)


RETURNS = torch.tensor([[1.0, 2.0], [3.0, 5.0], [-1.0, 0.0], [4.0, 1e9]], dtype=torch.float64)
VALID = [1.0, 2.0, 3.0, 5.0, -1.0, 0.0, 4.0]


@pytest.mark.parametrize(("std", "mean"), [(1.0, 0.0), (2.5, -1.0)])
def test_a_perfect_critic_explains_everything_and_a_constant_one_nothing(std: float, mean: float) -> None:
    perfect = judged(RETURNS, RETURNS.clone(), std, mean)
    assert perfect["explained_variance"] == pytest.approx(1.0) and perfect["value_rmse"] == pytest.approx(0, abs=1e-6)
    constant = judged(RETURNS, torch.full_like(RETURNS, 2.0), std, mean)
    assert constant["explained_variance"] == pytest.approx(0.0, abs=1e-6)
    rmse = math.sqrt(sum((r - 2.0) ** 2 for r in VALID) / len(VALID))
    assert constant["value_rmse"] == pytest.approx(rmse)


def test_a_biased_critic_explains_the_variance_but_not_the_level() -> None:
    biased = judged(RETURNS, RETURNS + 1.5)
    assert biased["explained_variance"] == pytest.approx(1.0) and biased["value_rmse"] == pytest.approx(1.5)


def test_nearly_equal_returns_cannot_blow_up_the_explained_variance() -> None:
    flat = 1.0 + 1e-6 * RETURNS
    noise = 0.1 * torch.tensor([[1.0, -1.0], [1.0, -1.0], [1.0, -1.0], [0.0, 0.0]], dtype=torch.float64)
    value = judged(flat, flat + noise)["explained_variance"]
    assert value is not None and -1.5 < value <= 1.0
    assert judged(torch.ones_like(RETURNS), RETURNS.clone())["explained_variance"] is None


def test_advantages_by_operation_and_the_spread_of_its_values() -> None:
    metrics = judged(RETURNS, RETURNS.clone(), std=2.0)
    assert metrics["advantage/WAIT"] == pytest.approx(-0.3) and metrics["advantage/GROW"] == pytest.approx(-0.3)
    assert metrics["advantage/CUT"] is None, "taken in padding only"
    assert metrics["q_spread"] == pytest.approx(2.0 * 3.0), "4 − 1 among the legal ones, in units of reward"


def test_entropy_is_conditional_on_a_choice() -> None:
    rollout, policy = ready()
    for head in policy.network.heads.values():
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.zeros_(head.bias)
    steps = rollout.steps()
    with torch.no_grad():
        old = policy.evaluate_actions(steps.features, steps.masks, None, steps.actions, steps.episode_start)
    metrics = monitors.policy_metrics(steps, old)
    assert metrics["entropy/op"] == pytest.approx(1.0) and metrics["entropy/what"] == pytest.approx(1.0)
    assert metrics["entropy/slot"] is None and metrics["forced_fraction"] == 0.0
    assert metrics["behaviour_log_prob_gap"] > 1e-3, "another policy acted"


def test_episodes_are_averaged_and_only_what_was_measured_counts() -> None:
    events = [
        {"type": "episode", "env": 0, "length": 4, "gain": 0.5, "gap": math.nan, "host": "x"},
        {"type": "episode", "env": 1, "length": 6, "gain": 0.1, "gap": 0.25},
        {"type": "germinate", "gain": 99.0},
    ]
    assert monitors.episode_metrics(events) == {"length": 5.0, "gain": pytest.approx(0.3), "gap": 0.25}
    assert monitors.episode_metrics([{"type": "episode", "gap": math.nan}]) == {"gap": None}
    assert monitors.episode_metrics([]) == {}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None, torch.tensor(math.nan)])
def test_what_is_undefined_is_none(value: object) -> None:
    assert monitors.number(value) is None  # type: ignore[arg-type]


def test_operations_are_counted_on_valid_steps() -> None:
    rollout, _ = ready()
    taken = rollout.actions["op"][rollout.valid].tolist()
    shares = monitors.action_metrics(rollout)
    assert shares == {f"op/{label}": pytest.approx(taken.count(i) / len(taken)) for i, label in enumerate(SPEC.ops)}


def test_the_ratio_at_the_start_is_the_one_farthest_from_one() -> None:
    rollout, policy = ready()
    steps = rollout.steps()
    new = policy.evaluate_actions(steps.features, steps.masks, None, steps.actions, steps.episode_start)
    old = {name: value.detach().clone() for name, value in new.log_prob.items()}
    assert monitors.ratio_at_start(new, old, steps.valid) == 1.0
    old["op"][0, 1] += math.log(2)
    old["what"][1, 2] -= math.log(1.2)
    old["op"][3, 5] += 9.0  # padding
    assert monitors.ratio_at_start(new, old, steps.valid) == pytest.approx(0.5)
