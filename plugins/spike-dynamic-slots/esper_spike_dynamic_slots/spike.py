"""The spike: runs the checks on a plan's policy for every slot count."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch

from esper_core.composition.plan import Plan, PlanRequest, describe_plan
from esper_core.contracts.protocols import BuildContext
from esper_core.registry.index import Index
from esper_spike_dynamic_slots import fixtures
from esper_spike_dynamic_slots.blockers import find_blockers
from esper_spike_dynamic_slots.categories import CATEGORIES
from esper_spike_dynamic_slots.config import DynamicSlotsConfig
from esper_spike_dynamic_slots.findings import Findings
from esper_spike_dynamic_slots.sections import recommendation, sections
from esper_testing.spikes.engine import run_checks
from esper_testing.spikes.only import matching
from esper_testing.spikes.verdict import Category, CheckResult, Skip, Verdict

NO_SLOTS = "the policy has no slots: neither its actions nor what it observes speak of any"


class DynamicSlots:
    """Kind `spike`: GREEN when a policy, its masks and its environment work with every slot count asked for."""

    def __init__(self, config: DynamicSlotsConfig, context: BuildContext | None = None) -> None:
        self.config = config

    def run(
        self,
        plan: Plan,
        index: Index,
        *,
        request: PlanRequest | None = None,
        slots: Sequence[int] | None = None,
        only: str | None = None,
        quick: bool = False,
        on_result: Callable[[CheckResult], None] | None = None,
    ) -> Verdict:
        """Return the verdict on a plan's policy, built on the CPU for every slot count, whatever the plan's own.

        Where there are no slots nothing is built, and every check counts as skipped.

        Args:
            plan: What to check.
            index: Where its components are looked up.
            request: Not used.
            slots: Slot counts, each from 1; None takes those of the config.
            only: The one category to check.
            quick: Without `slots`, take the fewer counts that the config names for this.
            on_result: Called after every check.

        Raises:
            UserError: there is no such category.
        """
        started = time.monotonic()
        wanted = matching(only, [checks.category for checks in CATEGORIES], what="categories")
        chosen = [checks for checks in CATEGORIES if checks.category in wanted]
        counts = tuple(dict.fromkeys(slots or (self.config.quick_slots if quick else self.config.slots)))
        declared = {checks.category: checks.declared(counts) for checks in chosen}
        known = describe_plan(plan, index)
        if known.actions.slot is None and not known.feature_schema.per_slot:
            return Verdict(
                spike="dynamic-slots",
                policy=plan.policy,
                slots=counts,
                categories=[Category(name=name, declared=count, skipped=count) for name, count in declared.items()],
                skips=[
                    Skip(category=name, check="all", slots=None, reason=NO_SLOTS)
                    for name, count in declared.items()
                    for _ in range(count)
                ],
                recommendation=f"**Nothing to do**: {NO_SLOTS}, so their number changes nothing about it.",
                seconds=time.monotonic() - started,
            )
        with _threads(plan.threads):
            report = run_checks(
                [checks.path for checks in chosen],
                declared,
                [fixtures, fixtures.Given(plan, index, counts)],
                on_result,
                integration=[checks.category for checks in chosen if checks.integration],
            )
        findings = Findings(report.measurements)
        blockers = find_blockers(plan, index, report.categories, report.failures, counts)
        return Verdict(
            spike="dynamic-slots",
            policy=plan.policy,
            slots=counts,
            categories=report.categories,
            failures=report.failures,
            skips=report.skips,
            blockers=blockers,
            figures={
                "compatibility": findings.compatibility(counts),
                "compatible_because": findings.why or None,
                "hyperparameters": findings.hyperparameters(),
            },
            sections=sections(findings, counts),
            recommendation=recommendation(report.categories, report.skips, blockers),
            seconds=time.monotonic() - started,
        )


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """Use the plan's number of threads; for tensors of this size more are slower."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
