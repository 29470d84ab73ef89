"""What the tests of the probes share."""

from __future__ import annotations

import pytest
import torch

from esper_core.composition.plan import Plan, PlanRequest, make_plan
from esper_core.registry.index import Index
from esper_core.registry.loading import load_index
from esper_factored_ppo.probes.plan import WIDTH, without_environment


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def index() -> Index:
    return load_index()


@pytest.fixture(scope="session")
def whole(index: Index) -> Plan:
    return make_plan(PlanRequest(policy="lstm-v2", environment="growth", device="auto"), index)


@pytest.fixture(scope="session")
def plan(whole: Plan, index: Index) -> Plan:
    """What probes train."""
    return without_environment(whole, index, width=WIDTH)
