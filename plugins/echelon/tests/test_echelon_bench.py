"""The workload, at a size that takes a second."""

from __future__ import annotations

import json

from esper_bench.machine import Ceilings
from esper_core.composition.plan import PlanRequest, make_plan
from esper_core.registry.loading import load_index
from esper_echelon.workload import EchelonWorkload


def test_everything_is_measured_and_every_target_has_evidence():
    workload = EchelonWorkload(matches=2, decisions=2, turns=3, quick_turns=2, loop=1000)
    index = load_index()
    plan = make_plan(PlanRequest(**workload.choices), index)
    figures = workload.measure(plan, index, quick=False, say=lambda line: None)
    assert json.loads(json.dumps(figures)) == figures
    assert {target.figure for target in workload.targets} <= figures.keys() and min(figures.values()) > 0
    assert figures["mechs"] == 12 and 0 < figures["observation_share"] < 1
    ceilings = Ceilings(gflops=100.0, cache_gbps=200.0, memory_gbps=40.0, operation_us=1.5, cores_at_once=2.0)
    evidence = workload.evidence(plan, index, "steps_per_loop", figures, ceilings)
    assert list(evidence) == ["1_matches", "2_matches"]
