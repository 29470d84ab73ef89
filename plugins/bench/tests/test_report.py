"""Targets, the floor under what misses them, and the document around both."""

from __future__ import annotations

import pytest

from esper_bench import report
from esper_bench.machine import Ceilings
from esper_bench.report import find_floor, judge, run_workload
from esper_bench.workload import Target
from esper_core.contracts.errors import PluginError
from esper_core.contracts.foreign import Owner

TARGETS = (Target("speed", 2.5), Target("cost_ms", 3.0, smaller_is_better=True, meaning="per call"))
CEILINGS = Ceilings(gflops=100.0, cache_gbps=200.0, memory_gbps=40.0, operation_us=1.5, cores_at_once=2.0)


@pytest.mark.parametrize(
    ("figures", "missed"),
    [
        ({"speed": 2.5, "cost_ms": 3.0}, []),
        ({"speed": 2.49, "cost_ms": 3.0}, ["speed"]),
        ({"speed": 9.0, "cost_ms": 3.01}, ["cost_ms"]),
        ({"speed": 0.0, "cost_ms": 99.0}, ["speed", "cost_ms"]),
    ],
)
def test_there_is_a_floor_exactly_under_what_misses_its_target(figures, missed):
    floor = find_floor(figures, TARGETS, lambda figure: {"why": figure})
    assert list(floor) == missed
    for figure in missed:
        target = next(t for t in TARGETS if t.figure == figure)
        assert floor[figure] == {"target": target.bound, "measured": figures[figure], "evidence": {"why": figure}}
    judged = judge(figures, TARGETS)
    assert [name for name, row in judged.items() if not row["reached"]] == missed
    assert judged["cost_ms"]["target"] == "≤ 3" and judged["speed"]["target"] == "≥ 2.5"


def test_a_figure_with_a_target_must_be_measured():
    with pytest.raises(PluginError, match="'cost_ms' and did not measure it"):
        judge({"speed": 3.0}, TARGETS)


class Fixed:
    """A workload whose figures are given."""

    choices: dict = {}  # noqa: RUF012
    targets = TARGETS

    def __init__(self, speed: float) -> None:
        self.figures = {"speed": speed, "cost_ms": 1.0, "rows": [{"a": 1}]}

    def measure(self, plan, index, *, quick, say):
        say(f"measuring, quick {quick}")
        return self.figures

    def evidence(self, plan, index, figure, figures, ceilings):
        assert figures == self.figures
        return {"figure": figure, "best": ceilings.gflops}


@pytest.mark.parametrize("speed", [1.0, 3.0])
def test_the_document(monkeypatch, speed):
    monkeypatch.setattr(report, "measure_ceilings", lambda: CEILINGS)
    said: list[str] = []
    document = run_workload(Owner("workload 'fixed' (acme 1.0)"), Fixed(speed), None, None, quick=True, say=said.append)
    assert document["speed"] == speed and document["rows"] == [{"a": 1}]
    assert document["machine"]["ceilings"]["cache_gbps"] == 200.0 and document["machine"]["cores"] >= 1
    assert document["versions"]["torch"] and said[0] == "measuring, quick True"
    assert ("floor" in document) == (speed < 2.5)
    if speed < 2.5:
        (row,) = document["floor"].values()
        assert row["evidence"] == {"figure": "speed", "best": 100.0} and row["ceilings"]["gflops"] == 100.0
