"""The workloads, at sizes that take a second."""

from __future__ import annotations

import json

import pytest
import torch

from esper_bench.machine import Ceilings
from esper_core.composition.plan import PlanRequest, make_plan
from esper_core.registry.loading import load_index
from esper_growth.bench.conv_small import ConvSmallWorkload
from esper_growth.bench.digits import DigitsWorkload

DIGITS = DigitsWorkload(
    envs=2, slots=2, epochs=2, repeats=1, updates=1, table_envs=(1,), table_slots=(1,), train_samples=100
)
CONV = ConvSmallWorkload(envs=2, slots=1, epochs=3, episodes=2, quick_episodes=1, samples=128, size=8)
CEILINGS = Ceilings(gflops=100.0, cache_gbps=200.0, memory_gbps=40.0, operation_us=1.5, cores_at_once=2.0)
PHASES = {"host_training", "validation", "static_curves", "environment", "features", "masks", "policy"}


@pytest.fixture(scope="module")
def index():
    return load_index()


def plan_of(workload, index, *options):
    options = (*workload.choices["options"], *options, "environment.workers=1")
    return make_plan(PlanRequest(**{**workload.choices, "options": options}), index)


@pytest.fixture(scope="module")
def digits(index):
    torch.set_num_threads(1)
    plan = plan_of(DIGITS, index, "network.hidden_dim=16")
    return plan, DIGITS.measure(plan, index, quick=False, say=lambda line: None)


def test_digits_measures_everything(digits):
    _, figures = digits
    assert json.loads(json.dumps(figures)) == figures
    assert all(figures[t.figure] > 0 for t in DIGITS.targets)
    ways = {"loop_1_process", "loop_all_cores", "fused_1_process", "fused_all_cores"}
    assert [(row["hosts"], row["occupied"]) for row in figures["by_envs"]] == [(1, 0), (1, 1), (1, 2)]
    assert [row["slots"] for row in figures["by_slots"]] == [1]
    for row in (*figures["by_envs"], *figures["by_slots"]):
        assert ways < set(row) and all(row[way] > 0 for way in ways)
    shares = {name: phase["share"] for name, phase in figures["phases"].items()}
    assert shares.keys() == PHASES | {"update"} and sum(shares.values()) == pytest.approx(1.0)
    assert figures["other_share"] == pytest.approx(1.0 - shares["host_training"] - shares["validation"])


def test_every_target_has_evidence(digits, index):
    plan, figures = digits
    wanted = ("fused_over_loop_empty", "gae_ms", "other_share")
    empty, gae, other = (DIGITS.evidence(plan, index, figure, figures, CEILINGS) for figure in wanted)
    assert other == {"phases": figures["phases"]} and min(gae["operations"], gae["bytes_moved"], gae["least_ms"]) > 0
    rate, (fused, loop) = figures["host_epochs_per_second"]["empty"]["loop"], (empty["fused"], empty["loop"])
    assert empty["bytes_moved"] > empty["product_bytes"] > 0 and empty["flops"] > 0
    assert loop["core_seconds"] == pytest.approx(1 / rate)
    assert loop["least_core_seconds"] > fused["least_core_seconds"] > 0
    best = fused["cores"] / fused["least_core_seconds"]
    assert empty["host_epochs_per_second_at_best"] == pytest.approx(best)
    assert empty["ratio_at_best"] == pytest.approx(best / rate)


def test_conv_small_plays(index):
    plan, said = plan_of(CONV, index), []
    figures = CONV.measure(plan, index, quick=True, say=said.append)
    assert set(figures) == {"environment_steps_per_second", "other_share", "phases"}
    assert set(figures["phases"]) == PHASES and said[-1] == "playing: episode 1 of 1"
    evidence = CONV.evidence(plan, index, "environment_steps_per_second", figures, CEILINGS)
    assert evidence["occupied"]["flops"] > evidence["empty"]["flops"] > 0
    assert evidence["empty"]["host_epochs_per_second_at_best"] > 0
