"""What the tests of the probes share."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from attrs import evolve

from esper_core.registry.index import Index, load_index
from esper_core.registry.plan import PlanRequest, make_plan
from esper_factored_ppo.probes.plan import WIDTH, without_environment
from esper_factored_ppo.probes.playing import measure
from esper_factored_ppo.probes.probe import Probe
from esper_factored_ppo.probes.table import PROBES

Tried = tuple[bool, dict[str, float]]
Try = Callable[..., Tried]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def index() -> Index:
    return load_index()


def probe_called(name: str) -> Probe:
    """Return the one probe whose name begins with these words."""
    (probe,) = [p for p in PROBES if p.name == name or p.name.startswith(f"{name} ")]
    return probe


@pytest.fixture
def attempt(index: Index) -> Try:
    """Return a function that plays a probe with one seed and says whether its goals were reached."""

    def play(name: str, *options: str, seed: int = 0, network: str = "lstm-v2", **changes: object) -> Tried:
        request = PlanRequest(policy=network, environment="growth", options=options)
        plan = without_environment(make_plan(request, index), index, width=WIDTH)
        probe = evolve(probe_called(name), **changes)
        measured = measure(probe, plan, index, seed)
        return probe.reached(measured), measured

    return play
