"""The spike, run on components of a small world."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from esper_core.builtin import plugin as core
from esper_core.composition.plan import PlanRequest, make_plan
from esper_core.registry.index import Index
from esper_spike_dynamic_slots.config import DynamicSlotsConfig
from esper_spike_dynamic_slots.spike import DynamicSlots
from esper_testing.index import index_from_plugins
from esper_testing.spikes.verdict import Verdict

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture(scope="session")
def small_world() -> Iterator[Index]:
    """Components that work with any number of slots, and ones that do not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FIXTURES))
        plugins = {"small": import_module("slot_world.plugin"), "fixed": import_module("fixed_slots.plugin")}
        index = index_from_plugins({"core": core, **plugins})
        assert not index.failures, index.failures
        yield index


@pytest.fixture(scope="session")
def judge(small_world: Index) -> Callable[..., Verdict]:
    """Return a function that runs the spike on one of the networks, with other components where they are named.

    What was judged before is not judged again.
    """

    @cache
    def run(network: str, slots: tuple[int, ...] | None = (1, 3, 5), **options: Any) -> Verdict:
        run_options = {key: options.pop(key) for key in ("only", "quick", "on_result") if key in options}
        plan = make_plan(PlanRequest(policy=network, slots="2", uses=options), small_world)
        return DynamicSlots(DynamicSlotsConfig()).run(plan, small_world, slots=slots, **run_options)

    return run


@pytest.fixture
def failed() -> Callable[[Verdict], dict[str, set[int | None]]]:
    """Return a function from a verdict to check → slot counts at which it failed."""

    def table(verdict: Verdict) -> dict[str, set[int | None]]:
        found: dict[str, set[int | None]] = {}
        for failure in verdict.failures:
            found.setdefault(failure.check.partition("[")[0], set()).add(failure.slots)
        return found

    return table
