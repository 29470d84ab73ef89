"""What the metrics mean, on data for which the right number is known."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pytest
import torch
from attrs import evolve
from torch import Tensor

from esper_core import ActionSpec, ContinuousHead, Head
from esper_core.contracts.protocols import LSTMState, Masks, Values
from esper_core.learning import monitors, ratios
from esper_core.learning.gradient_steps import GradientSteps
from esper_core.learning.rollout import Rollout, Sequences, Steps
from esper_core.policy.distribution import FactoredDistribution
from esper_core.policy.policy import Evaluation, Policy
from tests.learning.conftest import SCHEMA, SPEC
from tests.learning.test_rollout import ready, seen

T, E = 4, 2


def judged(returns: Tensor, taken: Tensor, std: float = 1.0, mean: float = 0.0) -> dict[str, float | None]:
    """Return the critic's metrics for returns and predictions `[E, T]` in units of reward; the value is 0.3 off."""
    rollout = Rollout(T, E, SPEC, SCHEMA, torch.device("cpu"), torch.float64)
    rollout.valid.fill_(True)
    rollout.valid[1, 3] = False
    baseline = taken + 0.3
    rollout.q_taken.copy_((taken - mean) / std)
    rollout.value.copy_((baseline - mean) / std)
    rollout.returns.copy_(returns)
    rollout.advantages.copy_(returns - baseline)
    rollout.actions["op"].copy_(torch.tensor([[0, 1, 1, 0], [0, 1, 0, 2]]))
    rollout.masks.heads["op"].fill_(True)
    rollout.masks.heads["op"][1, :, 2] = False
    by_op = torch.tensor([1.0, 4.0, 2.0]).expand(E, T, 3).clone()
    by_op[1, :, 2] = 99.0  # illegal there
    values = Values(rollout.value, rollout.q_taken, by_op)
    old = Evaluation(None, values, {}, None, None)  # type: ignore[arg-type]
    return monitors.critic_metrics(rollout, rollout.steps(), old, std, std)


RETURNS = torch.tensor([[1.0, 3.0, -1.0, 4.0], [2.0, 5.0, 0.0, 1e9]], dtype=torch.float64)
VALID = [1.0, 2.0, 3.0, 5.0, -1.0, 0.0, 4.0]


@pytest.mark.parametrize(("std", "mean"), [(1.0, 0.0), (2.5, -1.0)])
def test_a_perfect_critic_explains_everything_and_a_constant_one_nothing(std: float, mean: float) -> None:
    perfect = judged(RETURNS, RETURNS.clone(), std, mean)
    assert perfect["explained_variance"] == pytest.approx(1.0) and perfect["value_rmse"] == pytest.approx(0, abs=1e-6)
    constant = judged(RETURNS, torch.full_like(RETURNS, 2.0), std, mean)
    assert constant["explained_variance"] == pytest.approx(0.0, abs=1e-6)
    rmse = math.sqrt(sum((r - 2.0) ** 2 for r in VALID) / len(VALID))
    assert constant["value_rmse"] == pytest.approx(rmse)


def test_nearly_equal_returns_leave_nothing_to_explain() -> None:
    flat = 1.0 + 1e-6 * RETURNS
    metrics = judged(flat, RETURNS.clone())
    assert metrics["explained_variance"] is None and metrics["value_rmse"] > 0 and metrics["return_std"] == 1.0
    variance = float(torch.tensor(VALID, dtype=torch.float64).var(correction=0))
    for std, defined in ((10 * math.sqrt(variance) * 1.001, False), (10 * math.sqrt(variance) * 0.999, True)):
        value = judged(RETURNS, RETURNS + 0.1, std)["explained_variance"]
        assert (value is not None) == defined, "the floor is a hundredth of the variance of all returns so far"


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
    metrics = monitors.policy_metrics(rollout, steps, old)
    assert metrics["entropy/op"] == pytest.approx(1.0) and metrics["entropy/what"] == pytest.approx(1.0)
    assert metrics["entropy/slot"] is None and metrics["forced_fraction"] == 0.0
    assert (metrics["legal/op"], metrics["legal/what"], metrics["legal/slot"]) == (3.0, 3.0, None)
    assert metrics["behaviour_log_prob_gap"] > 1e-3, "another policy acted"


@pytest.mark.parametrize("squash", [True, False])
def test_deviations_and_saturation_are_those_of_numbers_that_mattered(squash: bool) -> None:
    spec = ActionSpec(
        (Head("op", ("WAIT", "AIM")), ContinuousHead("aim", ("x", "y"), -2, (2, 3), squash, ("AIM",))), "op"
    )
    outputs = torch.zeros(2, 2, 4)
    outputs[..., 2:] = torch.tensor([0.5, 0.1]).log()
    outputs[0, 0, 3] = -9.0  # clamped
    outputs[1, 1, 2:] = 1.0
    op = torch.tensor([[1, 1], [0, 1]])
    drawn = torch.tensor([[[2.5, 2.5], [-2.7, 2.9]], [[9.0, 9.0], [9.0, 9.0]]])
    valid = torch.tensor([[True, True], [True, False]])
    masks = Masks({"op": torch.ones(2, 2, 2, dtype=torch.bool)})
    distribution = FactoredDistribution(spec, {"op": torch.zeros(2, 2, 2), "aim": outputs}, masks)
    old = Evaluation(distribution, None, {}, op, None)  # type: ignore[arg-type]
    steps = Steps(None, masks, {"op": op, "aim": drawn}, valid, valid)  # type: ignore[arg-type]
    assert monitors.number_metrics(steps, old) == {
        "std/aim": pytest.approx((0.5 + math.exp(-5) + 0.5 + 0.1) / 4),
        "std_min/aim": pytest.approx(math.exp(-5)),
        "saturated/aim": 0.5,  # squashed: ±2.65 and beyond; else two of four are outside their bounds
    }
    assert set(monitors.number_metrics(evolve(steps, valid=valid & (op == 0)), old).values()) == {None}


def test_episodes_are_averaged_and_only_what_was_measured_counts() -> None:
    events = [
        {"type": "episode", "env": 0, "length": 4, "gain": 0.5, "gap": math.nan, "host": "x"},
        {"type": "episode", "env": 1, "length": 6, "gain": 0.1, "gap": 0.25},
        {"type": "germinate", "gain": 99.0, "boost": [99.0]},
    ]
    assert monitors.episode_metrics(events) == {"length": 5.0, "gain": pytest.approx(0.3), "gap": 0.25}
    assert monitors.episode_metrics([{"type": "episode", "gap": math.nan}]) == {"gap": None}


def test_lists_of_episodes_are_pooled() -> None:
    lists: list[list[float]] = [[0.1, 0.4], [], [0.7, math.nan]]
    pooled = monitors.episode_metrics({"type": "episode", "boost": boost, "delay": []} for boost in lists)
    assert pooled == {"boost_mean": pytest.approx(0.4), "boost_max": 0.7, "delay_mean": None, "delay_max": None}


def test_the_ratio_at_the_start_is_the_one_farthest_from_one() -> None:
    rollout, policy = ready()
    steps = rollout.steps()
    new = policy.evaluate_actions(steps.features, steps.masks, None, steps.actions, steps.episode_start)
    old = {name: value.detach().clone() for name, value in new.log_prob.items()}
    assert ratios.ratio_at_start(new, old, steps.valid) == 1.0
    old["op"][0, 1] += math.log(2)
    old["what"][1, 2] -= math.log(1.2)
    old["op"][3, 5] += 9.0  # padding
    assert ratios.ratio_at_start(new, old, steps.valid) == pytest.approx(0.5)


# Against loops over steps and heads ---------------------------------------------------------------------------------


def moved() -> tuple[Policy, Sequences, Evaluation]:
    """Return a batch with padding and free choice of slots, and a policy that has moved away from the stored one."""
    rollout, policy = ready()
    rollout.masks.slot_given_op[:, :, 1:] = True
    rollout.masks.slot_given_op[:, 2, 1, 1] = False
    steps = rollout.steps()

    def evaluate() -> Evaluation:
        return policy.evaluate_actions(steps.features, steps.masks, None, steps.actions, steps.episode_start)

    with torch.no_grad():
        rollout.store_old_policy(evaluate())
        rollout.compute_advantages(0.9, 0.95, 0.0, 1.0)
        for parameter in policy.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return policy, rollout.sequences(1.0, seen()), evaluate()


def chosen(batch: Sequences, name: str) -> list[tuple[int, int]]:
    """Return the steps at which a head mattered and could have chosen something else, by the table written out."""
    found = []
    for e, t in batch.valid.nonzero().tolist():
        op = int(batch.actions["op"][e, t])
        ops = SPEC.head(name).ops
        legal = batch.masks.slot_given_op[e, t, op] if name == "slot" else batch.masks.heads[name][e, t]
        if (ops is None or SPEC.ops[op] in ops) and int(legal.sum()) > 1:
            found.append((e, t))
    return found


def ratios_of(evaluations: Iterable[tuple[Sequences, Evaluation]]) -> dict[str, float | None]:
    seen = ratios.Ratios(SPEC.names)
    for batch, evaluation in evaluations:
        seen.add(batch, evaluation)
    return seen.metrics()


@pytest.mark.parametrize("enough", [1, 2**16])
def test_ratios_are_those_of_the_steps_with_a_choice(monkeypatch: pytest.MonkeyPatch, enough: int) -> None:
    policy, batch, new = moved()
    rows = [torch.tensor(part) for part in ([0], [1], [2, 3])]
    whole = ratios_of([(batch, new)])
    joint: dict[tuple[int, int], float] = {}
    for name in SPEC.names:
        found = {}
        for e, t in chosen(batch, name):
            found[e, t] = math.exp(float(new.log_prob[name].detach()[e, t] - batch.old_log_prob[name][e, t]))
            joint[e, t] = joint.get((e, t), 1.0) * found[e, t]
        assert found, name
        assert whole[f"ratio_min/{name}"] == pytest.approx(min(found.values()))
        assert whole[f"ratio_max/{name}"] == pytest.approx(max(found.values()))
        assert whole[f"ratio_mean/{name}"] == pytest.approx(sum(found.values()) / len(found))
    expected = (min(joint.values()), sum(joint.values()) / len(joint), max(joint.values()))
    assert [whole[f"ratio_{part}"] for part in ("min", "mean", "max")] == pytest.approx(expected)

    minibatches = [batch.rows(part) for part in rows]
    parts = [policy.evaluate_actions(p.features, p.masks, None, p.actions, p.episode_start) for p in minibatches]
    monkeypatch.setattr(ratios, "ENOUGH", enough)
    assert ratios_of(zip(minibatches, parts, strict=True)) == pytest.approx(whole, rel=1e-5)


def test_the_kl_of_the_heads_adds_up_to_the_joint_kl() -> None:
    _, batch, new = moved()
    old = FactoredDistribution(SPEC, batch.old_logits, batch.masks)
    metrics = monitors.kl_metrics(batch, new)
    assert all(value is not None and value > 1e-4 for value in metrics.values())
    joint = float(new.distribution.kl(old).detach()[batch.valid].mean())
    assert sum(value for value in metrics.values() if value is not None) == pytest.approx(joint, rel=1e-6)


def test_uses_are_counted_over_updates_and_go_on_from_where_they_were() -> None:
    _, batch, new = moved()
    monitor, other = monitors.Monitor(), monitors.Monitor()
    first = monitor.count(new, batch.valid)
    steps = int(batch.valid.sum())
    for name in SPEC.names:
        assert first[f"used/{name}"] == len(chosen(batch, name))
        assert first[f"used_share/{name}"] == pytest.approx(len(chosen(batch, name)) / steps)
    assert first["used/op"] == steps > first["used/what"] > 0
    other.load_state(monitor.state())
    again = other.count(new, batch.valid)
    assert again == monitor.count(new, batch.valid)
    assert again["used/what"] == 2 * first["used/what"] and again["used_share/what"] == first["used_share/what"]


def test_the_size_of_a_recurrent_state() -> None:
    h, c = torch.tensor([[[3.0, -4.0], [9.0, 9.0]]]), torch.tensor([[[0.0, -12.0], [99.0, 0.0]]])
    valid = torch.tensor([[False, True], [True, False]])
    assert monitors.state_metrics(LSTMState(h, c), valid, 2) == {
        "state_rms/h": pytest.approx(math.sqrt(12.5)),
        "state_max/h": 4.0,
        "state_rms/c": pytest.approx(math.sqrt(72)),
        "state_max/c": 12.0,
    }
    assert monitors.state_metrics((), valid, 2) == {}, "a network without memory"
    assert monitors.state_metrics((h,), ~valid & valid, 2) == {"state_rms/0": None, "state_max/0": None}


def test_of_chunks_the_last_state_of_each_row_that_is_known_counts() -> None:
    # Two rows of three chunks, whose states are their places; the last chunk of the first row is filled up.
    state, known = torch.arange(6.0).view(1, 6, 1), torch.tensor([True, True, False, True, True, True])
    valid = torch.stack([torch.ones(6, dtype=torch.bool), known], dim=1)
    assert monitors.state_metrics((state,), valid, 2) == {
        "state_rms/0": pytest.approx(math.sqrt((1 + 25) / 2)),
        "state_max/0": 5.0,
    }


def test_gradient_norms_by_head_and_part() -> None:
    policy, batch, new = moved()
    steps = GradientSteps(policy)
    steps.evaluated(batch, new)
    weights = {name: torch.randn(new.logits[name].shape) for name in ("op", "what")}
    loss = torch.stack([(weights[name] * new.logits[name]).sum() for name in weights]).sum()
    (loss + 3.0 * policy.critic.layer.bias.sum()).backward()
    norm, norms = steps.gradient(), steps.metrics()
    for name, weight in weights.items():
        assert norms[f"grad_norm/{name}"] == pytest.approx(float(weight.norm()))
    assert norms["grad_norm/slot"] == 0.0, "nothing reaches it"
    assert norms["grad_norm_critic"] == pytest.approx(3.0 * math.sqrt(3.0))
    assert norms["grad_norm"] == pytest.approx(math.hypot(norms["grad_norm_network"], norms["grad_norm_critic"]))
    whole = torch.nn.utils.clip_grad_norm_(policy.parameters(), math.inf)
    assert norms["grad_norm"] == float(norm) == pytest.approx(float(whole)), "the norm that the gradient is bounded by"
