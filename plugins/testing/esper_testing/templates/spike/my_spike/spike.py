"""The spike `my-spike`: a policy that prefers some actions before it has learned anything explores badly."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

from esper_core.composition.plan import Plan, PlanRequest
from esper_core.registry.index import Index
from esper_testing.case import Case, make_case
from esper_testing.location import locate
from esper_testing.spikes.only import matching
from esper_testing.spikes.verdict import Category, CheckResult, Failure, Verdict
from my_spike.config import MySpikeConfig

CATEGORY = "undecided at birth"


class MySpike:
    """Kind `spike`: GREEN when no head of an untrained policy has a favourite, whatever the number of slots."""

    def __init__(self, config: MySpikeConfig, context: None = None) -> None:
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
        """Return the verdict on a plan's policy.

        Args:
            plan: What to look at; it is built for every slot count.
            index: Where its components are looked up.
            request: What the plan was made from; everything in it is welcome.
            slots: Slot counts; None takes those of the config.
            only: The category to check; there is one.
            quick: Without `slots`, try the first of the config's counts alone.
            on_result: Called after every check.

        Raises:
            UserError: there is no such category.
        """
        started = time.monotonic()
        matching(only, [CATEGORY], what="categories")
        counts = tuple(dict.fromkeys(slots or self.config.slots[: 1 if quick else None]))
        failures: list[Failure] = []
        for count in counts:
            failure = self._check(plan, index, count)
            failures += [failure] if failure else []
            if on_result is not None:
                on_result(CheckResult(CATEGORY, f"{count} slots", "failed" if failure else "passed"))
        # The number of checks is declared, not counted: one that got lost makes the verdict RED.
        passed = len(counts) - len(failures)
        category = Category(name=CATEGORY, declared=len(counts), passed=passed, failed=len(failures))
        return Verdict(
            spike="my-spike",
            policy=plan.policy,
            slots=counts,
            categories=[category],
            failures=failures,
            seconds=time.monotonic() - started,
        )

    def _check(self, plan: Plan, index: Index, count: int) -> Failure | None:
        # A policy that cannot be built or run has failed too: that it broke is the answer, not an error of ours.
        try:
            entropies = entropy_by_head(make_case(plan, index, count))
            decided = {name: value for name, value in entropies.items() if value < self.config.least_entropy}
            named = ", ".join(f"{name} ({value:.2f})" for name, value in decided.items())
            assert not decided, f"heads with less than {self.config.least_entropy:g} of the largest entropy: {named}"
        except Exception as error:
            file, line = locate(error)
            message = str(error) or type(error).__name__
            return Failure(
                category=CATEGORY, check=f"{count} slots", slots=count, message=message, file=file, line=line
            )
        return None


@torch.no_grad()
def entropy_by_head(case: Case) -> dict[str, float]:
    """Return each head's mean entropy where it has a choice, as a share of the largest there can be."""
    evaluation = case.policy.evaluate_actions(case.features(), case.masks(), None, case.actions())
    chance = evaluation.distribution.choice_probability()
    return {
        name: float(entropy.sum() / chance[name].sum())
        for name, entropy in evaluation.entropy.items()
        if chance[name].any()
    }
