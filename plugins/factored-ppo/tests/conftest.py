"""What the tests of the probes share."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from attrs import evolve

from esper_core.composition.plan import PlanRequest, make_plan
from esper_core.registry.index import Index
from esper_core.registry.loading import load_index
from esper_factored_ppo.probes.plan import WIDTH, find_probe, without_environment
from esper_factored_ppo.probes.playing import measure
from esper_factored_ppo.probes.table import PROBES
from esper_testing.spikes.only import matching

Tried = tuple[bool, dict[str, float]]
Try = Callable[..., Tried]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def index() -> Index:
    return load_index()


@pytest.fixture
def attempt(index: Index) -> Try:
    """Return a function that plays a probe with one seed and says whether its goals were reached."""

    planned = make_plan(PlanRequest(policy="lstm-v2", environment="growth"), index)
    plan = without_environment(planned, index, width=WIDTH)

    def play(name: str, seed: int = 0, **changes: object) -> Tried:
        (found,) = matching(name, [probe.name for probe in PROBES], what="probes")
        probe = evolve(find_probe(found), **changes)
        measured = measure(probe, plan, index, seed)
        return probe.reached(measured), measured

    return play
