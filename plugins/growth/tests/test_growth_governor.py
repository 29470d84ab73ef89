"""The governor: what counts as diverging, and what becomes of a host that does."""

import math

import pytest
import torch

from esper_core.contracts.errors import EsperError
from esper_growth.actions import Op
from esper_growth.config import GrowthConfig
from esper_growth.governor import Governor, Verdict
from esper_growth.runtime import Validation
from esper_growth.stages import Stage

LEARNED, UNSTEADY, WILD = [0.5] * 12, [0.5, 0.6] * 6, [5.0, 0.1] * 6
GUESSES = math.log(10)


@pytest.mark.parametrize(
    ("losses", "accuracy", "options", "last"),
    [
        ([1.0, math.nan], 0.9, {}, "FINE NOT_FINITE"),
        ([1.0, math.inf], 0.9, {}, "FINE NOT_FINITE"),
        ([*LEARNED, GUESSES], 0.1, {}, "COLLAPSED"),
        # An unsure host still knows something; another had learned nothing.
        ([*LEARNED, GUESSES], 0.6, {}, "FINE"),
        ([2.3] * 12, 0.1, {}, " ".join(["FINE"] * 12)),
        # A loss explodes when it is large, unusual, and stays so.
        ([*UNSTEADY, 13.0, 40.0, 90.0], 0.9, {}, "SUSPECT SUSPECT EXPLODED"),
        ([*UNSTEADY, 13.0, 40.0, 0.6, 13.0], 0.9, {}, "SUSPECT SUSPECT FINE SUSPECT"),
        ([*UNSTEADY, 11.0, 11.0, 11.0], 0.9, {}, "FINE FINE FINE"),
        ([*UNSTEADY, 4.0], 0.9, {"governor_loss": 3.0, "governor_patience": 1}, "EXPLODED"),
        # Early in an episode the untrained host is the measure.
        ([500.0, 500.0, 500.0], 0.9, {}, "SUSPECT SUSPECT EXPLODED"),
        ([*WILD, 14.0], 0.9, {"governor_patience": 1}, "FINE"),
        ([*WILD, 14.0], 0.9, {"governor_patience": 1, "governor_sigmas": 2.0}, "EXPLODED"),
    ],
)
def test_verdicts_on_a_host_by_its_losses(losses, accuracy, options, last):
    governor = Governor.start(GrowthConfig(**options), 10, torch.tensor([2.3]), 1)
    verdicts = []
    for loss in losses:
        validation = Validation(torch.tensor([loss]), torch.tensor([accuracy]), torch.zeros(1, 1), None)
        verdicts.append(Verdict(int(governor.judge(validation, torch.tensor([True]))[0])).name)
    assert verdicts[-len(last.split()) :] == last.split()


def test_environments_that_have_ended_are_not_judged():
    governor = Governor.start(GrowthConfig(), 10, torch.tensor([2.3, 2.3]), 1)
    nan = Validation(torch.full((2,), torch.nan), torch.zeros(2), torch.zeros(2, 1), None)
    before = governor.history.clone()
    assert governor.judge(nan, torch.tensor([False, False])).tolist() == [Verdict.FINE] * 2
    assert torch.equal(governor.history.nan_to_num(-1.0), before.nan_to_num(-1.0))


def test_snapshots_are_of_good_hosts_at_intervals_and_of_new_fossils():
    governor = Governor.start(GrowthConfig(snapshot_every=5), 10, torch.full((4,), 2.3), 2)
    active = torch.tensor([True, True, True, False])
    verdict = torch.tensor([Verdict.FINE, Verdict.SUSPECT, Verdict.FINE, Verdict.FINE])
    fossils = torch.tensor([[False, False], [True, False], [False, True], [True, True]])
    assert governor.due(torch.full((4,), 4), fossils, verdict, active).tolist() == [False, False, True, False]
    assert governor.due(torch.full((4,), 5), fossils, verdict, active).tolist() == [True, False, True, False]
    assert governor.snapshot_epoch.tolist() == [5, 0, 5, 0]
    assert governor.fossils.tolist() == [[False, False], [False, False], [False, True], [False, False]]


def poison(environment, env, value=torch.nan):
    """Ruin a host that is trained in this process."""
    runtime = environment.runtime
    with torch.no_grad():
        if runtime.name == "fused":
            group, position = runtime._places[env]
            runtime.groups[group].base.values["segments.0.0.weight"][position] = value
        else:
            name, (weight, momentum) = next(iter(runtime.hosts[env].read().items()))
            runtime.hosts[env].write({name: (torch.full_like(weight, value), momentum)})


def read(environment, env):
    """Return what a host has learned: name → (value, momentum), as lists."""
    runtime = environment.runtime
    content = runtime.read(env) if runtime.name == "fused" else runtime.hosts[env].read()
    return {name: [None if value is None else value.tolist() for value in entry] for name, entry in content.items()}


@pytest.fixture
def grow(follow):
    """Return a function that grows a fossil in slot 0, and a seed that lives in slot 1, of every host in 10 epochs."""

    def grow(environment):
        environment.reset(seed=0)
        follow(environment, 8, {0: {"op": Op.GERMINATE, "blueprint": 1, "tempo": 0}})
        environment.progress.contribution[:, 0] = 0.1
        plan = {0: {"op": Op.FOSSILIZE}, 1: {"op": Op.GERMINATE, "blueprint": 3, "slot": 1}}
        state, _ = follow(environment, 2, plan)
        assert state["stage"][:, 0].tolist() == [Stage.FOSSILIZED] * environment.num_envs

    return grow


@pytest.mark.parametrize("options", [{"runtime": "loop"}, {"runtime": "fused"}, {"runtime": "engine"}])
def test_a_host_that_diverges_goes_back_to_its_last_good_snapshot(make_environment, act, grow, options):
    environment = make_environment(epochs=20, envs=2, snapshot_every=5, operation_cost=0.0, shaping=0.0, **options)
    grow(environment)
    good = {name: entry for name, entry in read(environment, 1).items() if not name.startswith("seeds.1")}
    environment.step(act(environment))
    poison(environment, 1)
    state, reward, terminated, truncated, info = environment.step(act(environment))

    assert read(environment, 1) == good, "the host, its fossil and their momentum, and no other seed"
    assert state["stage"][1].tolist() == [Stage.FOSSILIZED, Stage.PRUNED, Stage.DORMANT]
    assert all(bool(value.isfinite().all()) for value in state.values())
    assert terminated.tolist() == [False, True] and truncated.tolist() == [False, False]
    assert reward.tolist()[1] == pytest.approx(-1.0, abs=0.01) and abs(reward.tolist()[0]) < 0.01
    kinds = [(e["type"], e["env"]) for e in info["events"]]
    assert kinds == [("rollback", 1), ("removed", 1), ("episode", 1)]
    rollback, removed, episode = info["events"]
    assert rollback == {
        "env": 1, "step": 11, "type": "rollback", "reason": "NOT_FINITE", "loss": None, "snapshot": 10
    }  # fmt: skip
    assert (removed["slot"], removed["blueprint"], removed["stage"]) == ("r0c1", "norm", "PRUNED")
    assert episode["rolled_back"] == 1.0 and episode["length"] == 12 and episode["fossils"] == 1.0
    assert episode["gain"] == episode["committed_accuracy"] - episode["static_accuracy"]
    assert episode["return"] == pytest.approx(-1.0, abs=0.05), "the penalty stands in place of the gain"

    state, reward, terminated, _, info = environment.step(act(environment))
    assert float(reward[1]) == 0.0 and not bool(terminated[1]), "what follows is padding"
    assert all(event["env"] == 0 for event in info["events"])
    assert read(environment, 1) == good


@pytest.mark.parametrize(
    ("options", "value"),
    [({"runtime": "loop"}, torch.nan), ({"runtime": "fused"}, 1e30), ({"runtime": "engine"}, torch.nan)],
)
def test_the_other_hosts_do_not_notice(make_environment, act, grow, options, value):
    def play(ruined):
        environment, rows = make_environment(epochs=14, envs=3, **options), []
        grow(environment)
        if ruined:
            poison(environment, 1, value)
        for _ in range(4):
            state, reward, terminated, _, info = environment.step(act(environment))
            rows.append([entry[[0, 2]].tolist() for entry in (*state.values(), reward, terminated)])
            rows.append([e for e in info["events"] if e["env"] != 1])
        return repr(rows)

    assert play(ruined=True) == play(ruined=False)


def test_a_fossil_that_ruins_its_host_is_undone(make_environment, act, follow):
    environment = make_environment(epochs=14, envs=1, snapshot_every=5)
    environment.reset()
    follow(environment, 8, {0: {"op": Op.GERMINATE, "blueprint": 1, "tempo": 0}})
    environment.progress.contribution[:, 0] = 0.1
    poison(environment, 0)
    state, *_, info = environment.step(act(environment, op=Op.FOSSILIZE))
    assert [e["type"] for e in info["events"]] == ["fossilize", "rollback", "removed", "episode"]
    assert int(state["stage"][0, 0]) == Stage.PRUNED and info["events"][-1]["fossils"] == 0.0
    assert info["events"][-1]["committed_accuracy"] == pytest.approx(float(state["accuracy"][0]))


def test_without_governor_a_diverged_host_is_an_error_that_names_it(make_environment, act):
    environment = make_environment(governor=False)
    _, info = environment.reset()
    poison(environment, 1)
    with pytest.raises(EsperError, match=rf"host of environment 1 \(instance {info['instances'][1]}\) diverged") as e:
        environment.step(act(environment))
    assert "host_lr" in e.value.hint
