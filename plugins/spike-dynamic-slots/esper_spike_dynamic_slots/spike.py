"""The spike: runs the checks on a plan's policy for every slot count."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from esper_core.composition.plan import Plan, PlanRequest
from esper_core.contracts.protocols import BuildContext
from esper_core.registry.index import Index
from esper_spike_dynamic_slots.categories import CATEGORIES
from esper_spike_dynamic_slots.config import DynamicSlotsConfig
from esper_spike_dynamic_slots.work import SlotWork
from esper_testing.spikes.only import matching
from esper_testing.spikes.verdict import CheckResult, Verdict


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
        work = self.divide(plan, index, request=request, slots=slots, only=only, quick=quick)
        return work.judge(dict(work.do(work.parts, on_result)))

    def divide(
        self,
        plan: Plan,
        index: Index,
        *,
        request: PlanRequest | None = None,
        slots: Sequence[int] | None = None,
        only: str | None = None,
        quick: bool = False,
    ) -> SlotWork:
        """Return what is to be done; arguments and errors are those of `run`."""
        wanted = matching(only, [checks.category for checks in CATEGORIES], what="categories")
        chosen = tuple(checks for checks in CATEGORIES if checks.category in wanted)
        counts = tuple(dict.fromkeys(slots or (self.config.quick_slots if quick else self.config.slots)))
        return SlotWork(plan, index, chosen, counts)
