"""The workloads, at sizes that take a second, and the plain loop that hosts are measured beside."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from esper_bench.machine import Ceilings
from esper_core.composition.plan import PlanRequest, make_plan
from esper_core.registry.loading import load_index
from esper_growth.bench.comparison import Turns
from esper_growth.bench.conv_small import ConvSmallWorkload
from esper_growth.bench.digits import DigitsWorkload
from esper_growth.bench.floor import epoch_cost
from esper_growth.bench.hosts import HostBench
from esper_growth.bench.mnist1d import Mnist1dWorkload
from esper_growth.bench.plain import PlainLoop, ways

DIGITS = DigitsWorkload(
    envs=2, slots=2, epochs=2, turns=1, table_turns=1, updates=1, table_envs=(1,), table_slots=(1,), train_samples=100
)
CONV = ConvSmallWorkload(envs=2, slots=1, epochs=3, turns=1, samples=128, size=8)
MNIST1D = Mnist1dWorkload(envs=2, slots=1, epochs=2, turns=1, train_samples=100, samples=400)
CEILINGS = Ceilings(gflops=100.0, cache_gbps=200.0, memory_gbps=40.0, operation_us=1.5, cores_at_once=2.0)
PHASES = {"host_training", "validation", "static_curves", "environment", "features", "masks", "policy"}
RATIOS = {
    "over_plain_loop": {"empty", "occupied"},
    "share_of_best": {"empty", "occupied"},
    "processes": {"two_over_one", "empty", "occupied"},
    "validation": {"ablated_over_plain"},
}
ROOT = Path(__file__).parents[3]
PLAIN = [f"plain loop, channels-{first} {norm}-norm" for first in ("first", "last") for norm in ("group", "batch")]


@pytest.fixture(scope="module")
def index():
    torch.set_num_threads(1)
    return load_index()


def plan_of(workload, index, *options):
    options = (*workload.choices["options"], "environment.workers=1", "environment.runtime=loop", *options)
    return make_plan(PlanRequest(**{**workload.choices, "options": options}), index)


@pytest.fixture(scope="module", params=[DIGITS, CONV, MNIST1D], ids=["digits", "conv-small", "mnist1d"])
def measured(request, index):
    workload = request.param
    plan = plan_of(workload, index, "network.hidden_dim=16")
    return workload, plan, workload.measure(plan, index, quick=True, say=lambda line: None)


def test_every_workload_says_what_its_ratios_are(measured):
    workload, _, figures = measured
    assert json.loads(json.dumps(figures)) == figures
    assert {name: set(figures[name]) for name in RATIOS} == RATIOS and figures["runtime"] == "loop"
    assert [row["way"] for row in figures["ways"]][: len(PLAIN) + 2] == [*PLAIN, "one process", "two processes"]
    assert all(target.measured_in(figures) > 0 for target in workload.targets)
    assert list(figures)[: len(RATIOS)] == list(RATIOS), "ratios first"
    assert figures["phases"].keys() - {"update"} == PHASES


@pytest.mark.slow
def test_digits_has_tables_when_there_is_time(index):
    plan = plan_of(DIGITS, index, "network.hidden_dim=16")
    figures = DIGITS.measure(plan, index, quick=False, say=lambda line: None)
    assert [(row["hosts"], row["occupied"]) for row in figures["by_envs"]] == [(1, 0), (1, 1), (1, 2)]
    assert [row["slots"] for row in figures["by_slots"]] == [1]
    rates = {"one_process", "two_processes", "epochs_per_second"}
    assert all(row[rate] > 0 for row in (*figures["by_envs"], *figures["by_slots"]) for rate in rates)


def test_every_target_has_evidence(measured, index):
    workload, plan, figures = measured
    found = {
        target.figure: workload.evidence(plan, index, target.figure, figures, CEILINGS) for target in workload.targets
    }
    if workload is MNIST1D:
        found = {figure: per_host["capable"] for figure, per_host in found.items()}
    best, cost = found["over_plain_loop.empty"], epoch_cost(HostBench.of(plan, index), 0)
    assert found["processes.two_over_one"]["cores_at_once"] == 2.0
    least = best["seconds_of_the_fastest_plain_loop"] / best["over_plain_loop_at_best"]
    assert least == pytest.approx(cost.least_seconds_of_products(CEILINGS))
    assert found["validation.ablated_over_plain"]["operations_of_products"] > 1
    if workload is DIGITS:
        assert found["other_share"] == {"phases": figures["phases"]} and found["gae_ms"]["least_ms"] > 0
        assert found["share_of_best.occupied"]["flops"] > found["share_of_best.empty"]["flops"] == cost.flops


def test_a_workload_of_two_hosts_says_the_worst_of_both():
    capable = {"over_plain_loop": {"empty": 3.0}, "validation": {"ablated_over_plain": 2.0}, "ways": []}
    transformer = {"over_plain_loop": {"empty": 2.0}, "validation": {"ablated_over_plain": 2.5}, "ways": []}
    worst = MNIST1D.worst([capable, transformer])
    assert worst == {"over_plain_loop": {"empty": 2.0}, "validation": {"ablated_over_plain": 2.5}}


def test_the_plan_says_which_runtime_is_measured(index):
    with HostBench.of(plan_of(CONV, index), index).hosts(2, 1) as hosts:
        assert hosts.runtime.name == "loop" and hosts.runtime.seed_parameters()[:, 0].min() > 0


def test_ratios_are_per_host_and_against_the_fastest_way():
    plain = {"slow": [4.0, 4.0, 4.0], "fast": [2.0, 1.0, 2.0]}
    turns = Turns("fused", hosts=4, plain=plain, one=[2.0, 2.0, 4.0], two=[1.0, 1.0, 2.0], gflops=[10.0, 5.0, 10.0])
    assert turns.over_plain == {"slow": 8.0, "fast": 2.0} and turns.fastest == "fast"
    speeds = turns.speeds()
    assert speeds["one process"] == (2.0, 2.0) and speeds["two processes"] == (4.0, 4.0)
    assert speeds["plain loop, fast"] == (1.0, 0.5) and speeds["plain loop, slow"] == (0.5, 0.25)


@pytest.mark.parametrize(
    ("workload", "host"),
    [(CONV, "conv"), (DIGITS, "pointwise"), (MNIST1D, "capable"), (MNIST1D, "transformer")],
)
def test_however_it_is_written_it_is_one_network(index, workload, host):
    choices = {**workload.choices, "uses": {**workload.choices["uses"], "host": host}}
    bench = HostBench.of(make_plan(PlanRequest(**choices), index), index)
    for occupied in (0, bench.slots):
        first, *others = (PlainLoop(bench, occupied, way) for way in ways(bench) if not way.endswith("batch-norm"))
        assert others
        for other in others:
            for _ in range(2):
                torch.testing.assert_close(other.network(other.inputs), first.network(first.inputs))
                for loop in (first, other):
                    torch.manual_seed(0)
                    loop.train_epoch()


def test_batch_norm_takes_the_place_of_every_group_norm(index):
    bench = HostBench.of(plan_of(CONV, index), index)
    layers = [type(m).__name__ for m in PlainLoop(bench, 1, "channels-last batch-norm").network.modules()]
    assert layers.count("BatchNorm2d") == 4 and "GroupNorm" not in layers


def test_an_empty_plain_loop_takes_the_steps_of_our_own(index):
    bench = HostBench.of(plan_of(DIGITS, index), index)
    plain = PlainLoop(bench, 0, ways(bench)[0])
    assert len(plain.targets) == bench.config.batch_size, "in what order samples come makes no difference"
    with bench.hosts(1, 0) as hosts:
        hosts.train_epoch()
        plain.train_epoch()
        own = hosts.runtime.weights(0)
    for name, value in plain.network.state_dict().items():
        torch.testing.assert_close(value, own[f"host.{name}"])


def script(name, *arguments):
    command = [sys.executable, str(ROOT / "benchmarks" / name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_plain_loops_alone():
    done = script("plain_loop.py", "--workloads", "mnist1d-transformer", "--turns", 1, "--json")
    rows = json.loads(done.stdout)["mnist1d-transformer"]
    assert [(row["slots"], row["way"]) for row in rows] == [
        (what, way) for what in ("empty", "occupied") for way in ("channels-first", "tokens")
    ]
    assert min(row["ms"] for row in rows) > 0


@pytest.mark.slow
def test_two_checkouts_side_by_side(tmp_path):
    done = script("against.py", ROOT, "--pairs", 1, "--json")
    found = json.loads(done.stdout)
    assert found["runtimes"]["here"] == found["runtimes"]["there"]
    assert set(found["over"]) == {"empty", "occupied"} and min(found["over"].values()) > 0
    (tmp_path / "plugins/growth").mkdir(parents=True)
    strange = script("against.py", tmp_path)
    assert strange.returncode == 1 and "but what was imported is" in strange.stderr
    assert "is no checkout" in script("against.py", tmp_path / "plugins").stderr
