"""What measuring is made of: turns, medians, costs, ceilings, phases and targets."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from esper_bench import pieces
from esper_bench.cost import Cost, count
from esper_bench.machine import Ceilings
from esper_bench.repeats import median_ratio, side_by_side
from esper_bench.report import find_floor, judge
from esper_bench.speed import Speed
from esper_bench.workload import Target
from esper_core.contracts.errors import PluginError


def test_works_take_turns_after_a_warm_up():
    calls: list[str] = []
    works = {name: (lambda name=name: calls.append(name)) for name in "ab"}
    seconds = side_by_side(works, repeats=3, warm_up=2)
    assert calls == ["a", "b"] * 5 and {name: len(times) for name, times in seconds.items()} == {"a": 3, "b": 3}


def test_a_ratio_is_the_median_over_turns():
    assert median_ratio([2.0, 9.0, 8.0], [1.0, 9.0, 2.0]) == 2.0


def test_a_matrix_product_costs_what_is_known_of_it():
    a, b = torch.ones(8, 4), torch.ones(4, 2, requires_grad=True)
    moved = 4 * (8 * 4 + 4 * 2 + 8 * 2)
    assert count(lambda: a @ b) == Cost(1, 2 * 8 * 4 * 2, moved, moved)


def test_views_are_free_and_backward_counts():
    x = torch.ones(6, 4)
    assert count(lambda: x.view(4, 6).t().unsqueeze(0)) == Cost(0, 0, 0, 0)
    weight = torch.ones(2, 4, requires_grad=True)
    forward = count(lambda: functional.linear(x, weight))
    both = count(lambda: functional.linear(x, weight).sum().backward())
    assert both.flops == 2 * forward.flops and both.bytes_moved > forward.bytes_moved
    assert both.bytes_moved > both.product_bytes > forward.product_bytes == forward.bytes_moved


def test_the_least_time_is_bound_by_the_slower_of_arithmetic_and_movement():
    ceilings = Ceilings(gflops=10.0, cache_gbps=5.0, memory_gbps=1.0, operation_us=2.0, cores_at_once=2.0)
    assert Cost(0, 20e9, 5e9, 0).least_seconds(ceilings) == pytest.approx(2.0)
    assert Cost(0, 10e9, 15e9, 0).least_seconds(ceilings) == pytest.approx(3.0)
    assert Cost(500_000, 10e9, 15e9, 0).least_seconds(ceilings) == pytest.approx(4.0)
    assert Cost(500_000, 10e9, 15e9, 10e9).least_seconds_of_products(ceilings) == pytest.approx(2.0)
    assert Cost(500_000, 10e9, 15e9, 1e9).least_seconds_of_products(ceilings) == pytest.approx(1.0)


def test_other_is_all_but_the_hosts():
    phases = {"host_training": 6.0, "validation": 2.0, "update": 1.5, "features": 0.5}
    speed = Speed(steps=50, seconds=10.0, phases=phases)
    assert speed.other_share == pytest.approx(0.2)
    figures = speed.figures()
    assert figures["environment_steps_per_second"] == 5.0
    assert list(figures["phases"]) == ["host_training", "validation", "update", "features"], "the longest first"
    assert figures["phases"]["update"] == {"seconds": 1.5, "share": 0.15}


def test_estimating_advantages_stays_one_pass():
    """Two operations per step at most, and a few for the whole rollout."""
    assert count(pieces.advantages(50, 4)).operations <= 2 * 50 + 20


TARGETS = (Target("speed", 2.5), Target("cost_ms", 3.0, smaller_is_better=True, meaning="per call"))


@pytest.mark.parametrize(
    ("speed", "cost", "missed"),
    [(2.5, 3.0, []), (2.49, 3.0, ["speed"]), (9.0, 3.01, ["cost_ms"]), (0.0, 99.0, ["speed", "cost_ms"])],
)
def test_there_is_a_floor_exactly_under_what_misses_its_target(speed, cost, missed):
    figures = {"speed": speed, "cost_ms": cost}
    floor = find_floor(figures, TARGETS, lambda figure: {"why": figure})
    assert list(floor) == missed
    for figure in missed:
        target = next(t for t in TARGETS if t.figure == figure)
        assert floor[figure] == {"target": target.bound, "measured": figures[figure], "evidence": {"why": figure}}
    judged = judge(figures, TARGETS)
    assert [name for name, row in judged.items() if not row["reached"]] == missed
    assert judged["cost_ms"]["target"] == "≤ 3" and judged["speed"]["target"] == "≥ 2.5"


@pytest.mark.parametrize("figures", [{"speed": {}}, {"speed": 1.0}, {}])
def test_a_figure_with_a_target_must_be_measured(figures):
    with pytest.raises(PluginError, match=r"'speed\.empty' and did not measure it"):
        judge(figures, (Target("speed.empty", 2.0),))
