"""A pytest plugin with the fixtures of the checks.

In a test suite: `pytest -p esper_spike_dynamic_slots.fixtures --esper-policy my-net --pyargs
esper_spike_dynamic_slots.checks`. A conftest may override the fixtures `esper_plan` and `esper_index` instead.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from attrs import frozen

from esper_core.composition.lookup import find_planned
from esper_core.composition.plan import Plan, PlanRequest, make_plan
from esper_core.composition.recipes import find_registry, load_recipes
from esper_core.contracts.slots import MAX_SLOTS
from esper_core.registry.index import Index
from esper_core.registry.loading import load_index
from esper_spike_dynamic_slots.categories import SAVED_SLOTS, find_checks
from esper_spike_dynamic_slots.config import DynamicSlotsConfig
from esper_testing.spikes.engine import SLOTS_PARAMETER

if TYPE_CHECKING:
    from esper_spike_dynamic_slots.played import Episode, Session
    from esper_spike_dynamic_slots.saved import Shelf
    from esper_spike_dynamic_slots.trained import Trained
    from esper_testing.case import Case
    from esper_testing.conformance.subject import Subject


Conforms = Callable[[Callable[["Subject"], None]], None]


@frozen
class Given:
    """A pytest plugin that carries a plan, an index and slot counts into a run of the checks."""

    plan: Plan
    index: Index
    slots: tuple[int, ...]

    def pytest_configure(self, config: pytest.Config) -> None:
        """Put everything where the fixtures look for it."""
        config.stash[_GIVEN] = self


_GIVEN = pytest.StashKey[Given]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that say what to check."""
    group = parser.getgroup("esper", "esper's checks of dynamic slots")
    group.addoption("--esper-policy", help="policy to check; the default policy without it")
    group.addoption("--esper-slots", help="slot counts, such as 1,2,5")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run every check with each slot count of its category."""
    wanted = [name for name in (SLOTS_PARAMETER, SAVED_SLOTS) if name in metafunc.fixturenames]
    if not wanted:
        return
    counts = find_checks(metafunc.module.CATEGORY).slots(_slots(metafunc.config))
    for name, label in zip(wanted, ("N", "saved"), strict=False):
        metafunc.parametrize(name, counts, ids=[f"{label}={count}" for count in counts], scope="session")


def _slots(config: pytest.Config) -> tuple[int, ...]:
    if _GIVEN in config.stash:
        return config.stash[_GIVEN].slots
    text = config.getoption("--esper-slots")
    return tuple(int(count) for count in text.split(",")) if text else DynamicSlotsConfig().slots


@pytest.fixture(scope="session")
def esper_index(request: pytest.FixtureRequest) -> Index:
    """What is installed."""
    stash = request.config.stash
    return stash[_GIVEN].index if _GIVEN in stash else load_index()


@pytest.fixture(scope="session")
def esper_plan(request: pytest.FixtureRequest, esper_index: Index) -> Plan:
    """The plan whose policy is checked."""
    stash = request.config.stash
    if _GIVEN in stash:
        return stash[_GIVEN].plan
    wanted = PlanRequest(policy=request.config.getoption("--esper-policy"))
    return make_plan(wanted, esper_index, load_recipes(find_registry()))


@pytest.fixture(scope="session")
def case(esper_plan: Plan, esper_index: Index, num_slots: int) -> Case:
    """The policy built for one slot count."""
    from esper_testing.case import make_case

    return make_case(esper_plan, esper_index, num_slots)


@pytest.fixture(scope="session")
def conforms(esper_plan: Plan, esper_index: Index, case: Case) -> Conforms:
    """A function that makes a conformance check of networks or critics with the policy of one slot count."""
    from esper_testing.conformance.everywhere import in_case
    from esper_testing.conformance.subject import Subject

    network = Subject(find_planned(esper_index, esper_plan.component("network")), esper_index)
    return lambda check: in_case(check, network, case)


@pytest.fixture(scope="session")
def neighbour_case(esper_plan: Plan, esper_index: Index, num_slots: int) -> Case:
    """The policy built for one slot more; one less where no more are possible."""
    from esper_testing.case import make_case

    return make_case(esper_plan, esper_index, num_slots + 1 if num_slots < MAX_SLOTS else num_slots - 1)


@pytest.fixture(scope="session")
def shelf(esper_plan: Plan, esper_index: Index) -> Iterator[Shelf]:
    """Checkpoints of every slot count, in a temporary folder."""
    from esper_spike_dynamic_slots.saved import Shelf

    with tempfile.TemporaryDirectory(prefix="esper-spike-") as folder:
        yield Shelf(esper_plan, esper_index, Path(folder))


@pytest.fixture(scope="session")
def practised(esper_plan: Plan, esper_index: Index, num_slots: int) -> Trained:
    """The policy after ten updates in the practice environment."""
    from esper_spike_dynamic_slots.practice import make_learner
    from esper_spike_dynamic_slots.trained import UPDATES, train

    return train(make_learner(esper_plan, esper_index, num_slots, esper_plan.seed), UPDATES)


@pytest.fixture(scope="session")
def session(esper_plan: Plan, esper_index: Index, num_slots: int) -> Iterator[Session]:
    """All components of the plan, environment and masks included; episodes are short."""
    from esper_spike_dynamic_slots.played import open_short_session

    session = open_short_session(esper_plan, esper_index, num_slots)
    yield session
    session.environment.close()


@pytest.fixture(scope="session")
def episode(session: Session) -> Episode:
    """An episode of uniformly random legal actions."""
    from esper_spike_dynamic_slots.played import play

    return play(session)


@pytest.fixture(scope="session")
def learned(session: Session) -> Trained:
    """The policy after one update in the plan's environment."""
    from esper_spike_dynamic_slots.trained import train

    return train(session.trainer, 1)
