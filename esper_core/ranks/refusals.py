"""What several ranks cannot train together, refused by name before anything is built."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esper_core.composition.build import resolve_device
from esper_core.composition.fit import TEACHER
from esper_core.composition.lookup import find_planned
from esper_core.composition.plan import describe_plan
from esper_core.contracts.errors import ConfigError, IncompatiblePlan

if TYPE_CHECKING:
    from esper_core.composition.plan import Plan
    from esper_core.registry.index import Index

ALONE = "Train it in one process, without torchrun."


def check_ranks(plan: Plan, index: Index, count: int) -> None:
    """Check that so many ranks can train a plan together.

    Raises:
        IncompatiblePlan: its environment, a teacher or drawn slots cannot be shared out.
        ConfigError: there are fewer environments than ranks, or a device that is no CPU.
    """
    environment = find_planned(index, plan.component("environment"))
    if not describe_plan(plan, index).shares:
        raise IncompatiblePlan(
            f"{environment} with these options cannot be shared out: what it does in some rows depends on others.",
            hint=ALONE,
        )
    if plan.drawn:
        numbers = ",".join(map(str, plan.drawn))
        said = f"--slots {numbers} draws a number of slots for each update, in one process only."
        raise IncompatiblePlan(said, hint=f"{ALONE[:-1]}, or choose one number.")
    for planned in plan.of_kind(TEACHER):
        raise IncompatiblePlan(f"{find_planned(index, planned)} teaches, in one process only.", hint=ALONE)
    if (device := resolve_device(plan.device)) != "cpu":
        raise ConfigError(f"Ranks compute on CPUs, and the device is '{device}'.", hint="Use --device cpu.")
    if plan.envs < count:
        raise ConfigError(
            f"--envs is {plan.envs}, the environments of all {count} ranks together, so some would have none.",
            hint=f"Raise it to {count} or more, or start fewer ranks.",
        )
