"""The spike `ppo-probes` as users run it: what is run, what is refused, what is printed."""

from __future__ import annotations

import json
import multiprocessing
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from attrs import evolve

from esper_core.cli import app
from esper_core.composition.plan import Plan
from esper_core.contracts.protocols import LossResult
from esper_core.registry.index import Index
from esper_core.system.crew import Crew
from esper_factored_ppo.probes import work as module
from esper_factored_ppo.probes.plan import probe_plan, with_probes, without_environment
from esper_factored_ppo.probes.playing import play
from esper_factored_ppo.probes.spike import PpoProbes
from esper_factored_ppo.probes.table import PROBES
from tests.command import Done

Spike = Callable[..., Done]


@pytest.fixture
def spike(capsys: pytest.CaptureFixture[str]) -> Spike:
    """Return a function that runs the spike by the command, in this process."""

    def run(*words: str) -> Done:
        status = app.run(["spike", "run", "ppo-probes", "--policy", "lstm-v2", *words])
        return Done(words, status, *capsys.readouterr())

    return run


@pytest.fixture
def instant(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Let every probe measure what it expects, in no time; the plans it was asked about are returned."""
    asked: list[Any] = []

    def results(work: Any, tasks: list[Any]) -> Any:
        asked.append(work.args[0])
        for task in tasks:
            goals = work.args[2][task.probe].goals.items()
            measured = {name: goal.high if goal.high < 9e9 else goal.low for name, goal in goals}
            yield task, {"measured": measured, "seconds": 0.1, "failure": None}

    monkeypatch.setattr(module, "_results", results)
    return asked


def test_json_of_one_probe(spike: Spike) -> None:
    result = spike("--only", "P10", "--json")
    assert result.returncode == 0, result.stderr
    content = json.loads(result.stdout)
    (probe,) = content["probes"]
    assert probe.pop("seconds") > 0
    assert probe == {
        "name": "P10 masks leave one action",
        "expected": "return = 8 ± 0 (3 of 3 seeds)",
        "measured": {"return": [8.0, 8.0, 8.0]},
        "passed": True,
    }
    assert content["categories"] == [{"name": "probes", "declared": 1, "passed": 1, "failed": 0, "skipped": 0}]
    assert content["failures"] == [] and result.stderr.splitlines() == ["checking P10 masks leave one action"]


@pytest.mark.usefixtures("instant")
@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        ([], range(1, 17)),
        (["--quick"], [*range(1, 12), 14, 15, 16]),
        (["--only", "P12", "--quick"], [12]),
    ],
)
def test_what_is_declared(spike: Spike, arguments: list[str], ids: Any) -> None:
    content = json.loads(spike(*arguments, "--json").stdout)
    names = [probe["name"] for probe in content["probes"]]
    assert list(dict.fromkeys(name.split()[0] for name in names)) == [f"P{number}" for number in ids]
    assert content["categories"][0]["declared"] == content["categories"][0]["passed"] == len(names)


def test_shards_are_merged_into_the_verdict_of_one_process(
    spike: Spike, instant: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    whole = json.loads(spike("--json").stdout)
    parts = [json.loads(spike("--json", "--shard", f"{number}/3").stdout)["jobs"] for number in (1, 2, 3)]
    assert sum(parts) == sum(len(probe.seeds) for probe in PROBES) and max(parts) - min(parts) <= 1
    assert json.loads(spike("--json", "--merge").stdout) == whole


def test_one_seed_short_of_what_is_needed_is_red(spike: Spike, instant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = module._results

    def worse(seeds: set[int]) -> Done:
        def results(work: Any, tasks: Any) -> Any:
            for task, done in answer(work, tasks):
                yield task, {**done, "measured": {"π(best)": 0.3}} if task.seed in seeds else done

        monkeypatch.setattr(module, "_results", results)
        result = spike("--only", "p7 OP-ONLY bandit")
        monkeypatch.setattr(module, "_results", answer)
        return result

    lines = worse({0}).stdout.splitlines()
    assert lines[0] == "ppo-probes on lstm-v2" and lines[2].split() == ["probe", "seconds", "measured", "expected"]
    assert lines[3].startswith("P7 op-only bandit  passed") and re.fullmatch(r"GREEN after \d+\.\d s", lines[-1])
    result = worse({0, 3})
    assert result.returncode == 5 and "\nRED after" in result.stdout
    assert "P7 op-only bandit  FAILED" in result.stdout and "π(best) 0.3 … 0.95" in result.stdout


def test_a_probe_that_breaks_is_red_and_says_why(whole: Plan, index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    overflow = "esper_factored_ppo.loss.LossResult"
    monkeypatch.setattr(overflow, lambda loss, **rest: LossResult(loss * torch.inf, **rest))
    seen: list[Any] = []
    verdict = PpoProbes(None).run(whole, index, only="P4", on_result=seen.append)
    assert verdict.colour == "RED" and [result.outcome for result in seen] == ["failed"] * 3
    assert verdict.probes[0].measured["V"] == (None, None, None)
    assert {failure.check for failure in verdict.failures} == {f"P4 two operations, seed {s}" for s in range(3)}
    assert "skipped: the loss of epoch 1 became NaN or infinite" in verdict.failures[0].message
    assert verdict.failures[0].file.endswith("guard.py")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--only", "P77"], "There is no 'P77' here. Did you mean 'P7'?"),
        (["--slots", "3"], "--slots has no effect on ppo-probes."),
        (["--use", "task=digits"], "The task 'digits' has no effect"),
        (["-o", "train.lr=0.1"], "The option train.lr=0.1 has no effect"),
        (["-o", "environment.epochs=3"], "The option environment.epochs=3 has no effect"),
    ],
)
def test_what_means_nothing_is_refused(spike: Spike, arguments: list[str], words: str) -> None:
    result = spike(*arguments)
    assert result.returncode == 2 and words in result.stderr and len(result.stderr.splitlines()) > 1


def test_the_choosing_flags_of_train_reach_the_probes(spike: Spike, instant: list[Any]) -> None:
    assert spike("--only", "P1", "--critic", "state-value", "--seed", "7", "-o", "loss.clip=0.1").returncode == 0
    (plan,) = instant
    assert (plan.component("critic").name, plan.component("loss").config["clip"], plan.seed) == ("state-value", 0.1, 7)
    assert plan.component("network").config["hidden_dim"] == 64
    assert spike("--only", "P1", "--network", "lstm-v1", "-o", "network.hidden_dim=32").returncode == 0
    network = instant[1].component("network")
    assert (network.name, network.config["hidden_dim"]) == ("lstm-v1", 32)


def test_nothing_of_the_environment_is_left_but_what_is_probed(whole: Plan, index: Index) -> None:
    bare = without_environment(whole, index, width=None)
    assert {component.kind for component in bare.components} == {"network", "critic", "loss"}
    assert bare.component("network") == whole.component("network") and bare.device == "cpu"
    probe = PROBES[0]
    made = probe_plan(bare, with_probes(index), probe, 5)
    assert (made.seed, made.envs, made.train["lr"]) == (5, probe.envs, probe.train.lr)
    assert made.component("features").name == "flat"
    assert "ppo-probe" not in {*index.names("environment"), *index.names("masks")}, "listings show none of it"


def test_rollouts_may_be_parts_of_episodes(spike: Spike, instant: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}
    results = module._results
    monkeypatch.setattr(module, "_results", lambda work, tasks: (seen.update(work.args[2]), results(work, tasks))[1])
    assert spike("-o", "spike.parts=true").returncode == 0
    for probe in PROBES:
        expected = probe.train.rollout_steps or probe.horizon + (probe.horizon + 1) // 2
        assert seen[probe.name].train.rollout_steps == expected, "half an episode more, or what it asks for itself"
    result = spike("-o", "spike.part=true")
    assert result.returncode == 2 and "Did you mean 'parts'?" in result.stderr


def test_the_policy_is_frozen_while_the_critic_is_fitted(plan: Plan, index: Index) -> None:
    (probe,) = [probe for probe in PROBES if probe.name.startswith("P7")]
    (trainer,) = play(evolve(probe, critic_updates=3, updates=1), plan, index, 0)
    passes = probe.train.update_epochs
    for name, parameter in trainer.policy.named_parameters():
        assert parameter.requires_grad
        steps = float(trainer.optimiser.state[parameter]["step"])
        assert steps == (4 * passes if name.startswith("critic.") else passes), name


def test_ctrl_c_ends_the_processes_and_exits_with_130(spike: Spike, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Crew, "work", Mock(side_effect=KeyboardInterrupt))
    assert spike("--only", "P10").returncode == 130
    assert not [p for p in multiprocessing.active_children() if p.name.startswith("esper-probes")]


@pytest.mark.slow
def test_the_op_only_bandit_fails_with_the_sampled_baseline(spike: Spike) -> None:
    result = spike("--only", "P7", "--critic", "op-conditioned-critic", "-o", "critic.baseline=sampled", "--json")
    assert result.returncode == 5
    (probe,) = json.loads(result.stdout)["probes"]
    assert max(probe["measured"]["π(best)"]) <= 0.5


@pytest.mark.slow
def test_the_spike_passes_every_check_of_its_kind(conforms: Any) -> None:
    conforms("spike/ppo-probes")


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [[], ["--quick", "--critic", "state-value"]])
def test_the_set_is_green_with_either_critic(spike: Spike, arguments: list[str]) -> None:
    result = spike(*arguments)
    assert result.returncode == 0, result.stdout
