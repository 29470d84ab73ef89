"""What the spike does, in parts: the checks of every slot count, and those that compare slot counts.

Torch is imported when checks run; judging what came of them does without.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from attrs import frozen

from esper_core.composition.plan import Plan, describe_plan
from esper_core.registry.index import Index
from esper_spike_dynamic_slots.blockers import find_blockers
from esper_spike_dynamic_slots.categories import Checks
from esper_spike_dynamic_slots.findings import Findings
from esper_spike_dynamic_slots.sections import recommendation, sections
from esper_testing.spikes.engine import SLOTS_PARAMETER, Report, run_checks
from esper_testing.spikes.verdict import Category, CheckResult, Skip, Verdict

NO_SLOTS = "the policy has no slots: neither its actions nor what it observes speak of any"


@frozen
class SlotWork:
    """The checks of a plan's policy. Where there are no slots nothing is built, and every check counts as skipped.

    Attributes:
        chosen: Which checks.
        counts: Slot counts.
    """

    plan: Plan
    index: Index
    chosen: tuple[Checks, ...]
    counts: tuple[int, ...]

    @property
    def parts(self) -> list[str]:
        """One part per slot count, and one per category whose checks compare them."""
        if not self._has_slots:
            return []
        alone = [checks for checks in self.chosen if not checks.pairs]
        counts = [count for count in self.counts if any(count in checks.slots(self.counts) for checks in alone)]
        return [*map(_of_slots, counts), *(checks.category for checks in self.chosen if checks.pairs)]

    def do(
        self, parts: Sequence[str], on_result: Callable[[CheckResult], None] | None = None
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Run the checks of some parts; yield what came of each."""
        if not parts:
            return
        from esper_spike_dynamic_slots import fixtures

        given = [fixtures, fixtures.Given(self.plan, self.index, self.counts)]
        comparing = {checks.category: [checks.path] for checks in self.chosen if checks.pairs}
        others = [checks.path for checks in self.chosen if not checks.pairs]
        for part in parts:
            started = time.monotonic()

            def select(category: str, params: Mapping[str, Any], part: str = part) -> bool:
                return category == part or _of_slots(params[SLOTS_PARAMETER]) == part

            with _threads(self.plan.threads):
                report = run_checks(comparing.get(part, others), {}, given, on_result, select=select)
            yield part, {**report.to_json(), "seconds": time.monotonic() - started}

    def judge(self, results: Mapping[str, Mapping[str, Any]]) -> Verdict:
        """Return the verdict on what came of all parts."""
        declared = {checks.category: checks.declared(self.counts) for checks in self.chosen}
        if not self._has_slots:
            return _nothing_to_do(self.plan, self.counts, declared)
        integration = [checks.category for checks in self.chosen if checks.integration]
        report = Report.of_parts((results[part] for part in self.parts), declared, integration)
        findings = Findings(report.measurements)
        blockers = find_blockers(self.plan, self.index, report.categories, report.failures, self.counts)
        return Verdict(
            spike="dynamic-slots",
            policy=self.plan.policy,
            slots=self.counts,
            categories=report.categories,
            failures=report.failures,
            skips=report.skips,
            blockers=blockers,
            figures={
                "compatibility": findings.compatibility(self.counts),
                "compatible_because": findings.why or None,
                "hyperparameters": findings.hyperparameters(),
            },
            sections=sections(findings, self.counts),
            recommendation=recommendation(report.categories, report.skips, blockers),
            seconds=sum(result["seconds"] for result in results.values()),
        )

    @property
    def _has_slots(self) -> bool:
        known = describe_plan(self.plan, self.index)
        return known.actions.slot is not None or bool(known.feature_schema.per_slot)


def _of_slots(count: int) -> str:
    return f"slots {count}"


def _nothing_to_do(plan: Plan, counts: tuple[int, ...], declared: Mapping[str, int]) -> Verdict:
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
    )


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """Use the plan's number of threads; for tensors of this size more are slower."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
