"""Arms: the ways to act that are compared. Choosing them imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from attrs import frozen

from esper_core.composition.fit import check_reads
from esper_core.contracts.components import normalise_name
from esper_core.contracts.errors import IncompatiblePlan, UserError, did_you_mean
from esper_core.registry.index import Component, Index
from esper_core.registry.resolve import resolve

if TYPE_CHECKING:
    from esper_core.composition.plan import PlanDescription

RULE = "rule"
POLICY, GREEDY, MATCHED, FIXED, REPLAY = "policy", "policy-greedy", "random-matched", "best-fixed", "replay"
SELECTOR = "selector"


def _always(known: PlanDescription) -> bool:
    return True


@frozen
class Arm:
    """A way to act.

    Attributes:
        name: Its name.
        meaning: One line for people.
        learned: It comes of a policy, so that there is one per policy seed.
        needs: Arm whose episodes on the same instances it is made of; empty for none.
        rule: The component that acts, for an arm that is an installed rule.
        applies: Returns whether an environment can be played like this.
    """

    name: str
    meaning: str
    learned: bool = False
    needs: str = ""
    rule: Component | None = None
    applies: Callable[[PlanDescription], bool] = _always


OWN = (
    Arm(POLICY, "the policy as it acts in training: what it does is drawn", learned=True),
    Arm(GREEDY, "the policy, always doing what it thinks most probable", learned=True),
    Arm(
        MATCHED,
        "what `policy` did on the instance, in random order; an operation that is illegal waits until it is legal, "
        "and all else about it is random",
        learned=True,
        needs=POLICY,
        applies=lambda known: known.actions.root is not None and known.rows == 1,
    ),
    Arm(
        FIXED,
        "the best of many random schedules that look at nothing, found on training instances with as many steps as the "
        "policy was trained for",
        applies=lambda known: known.rows == 1,
    ),
    Arm(
        SELECTOR,
        "on each instance the rule that a shallow tree, fitted on training instances, chooses by what the instance is",
        applies=lambda known: bool(known.world) and known.rows == 1,
    ),
    Arm(
        REPLAY,
        "what `policy-greedy` had made permanent in the end, in place from the first step on",
        learned=True,
        needs=GREEDY,
        applies=lambda known: known.replayable,
    ),
)
"""Arms that are not rules."""

_OWN = {arm.name: arm for arm in OWN}


def available_arms(
    index: Index, known: PlanDescription, environment: Component, pins: Mapping[str, str] | None = None
) -> dict[str, Arm]:
    """Return by name every arm that an environment can be played with: its rules, then our own.

    A rule that reads what the environment does not publish is left out. One with the name of an own arm bears that of
    its distribution as well.

    Raises:
        AmbiguousComponent: several distributions provide a rule, and none is pinned.
    """
    found = {}
    for name in index.names(RULE):
        component = resolve(index, RULE, name, pins)
        try:
            check_reads([component], environment, known.state_spec)
        except IncompatiblePlan:
            continue
        label = f"{component.distribution}:{name}" if name in _OWN else name
        found[label] = Arm(label, component.spec.summary, rule=component)
    return {**found, **{arm.name: arm for arm in OWN if arm.applies(known)}}


def choose_arms(
    names: Sequence[str] | None,
    index: Index,
    known: PlanDescription,
    environment: Component,
    pins: Mapping[str, str] | None = None,
) -> tuple[Arm, ...]:
    """Return the arms with these names, or all that apply but for rules `only_by_name`, each once.

    Raises:
        UserError: an unknown name, or none.
        IncompatiblePlan: a rule that reads what the environment does not publish.
        AmbiguousComponent: as for `available_arms`.
    """
    available = available_arms(index, known, environment, pins)
    if names is None:
        return tuple(arm for arm in available.values() if arm.rule is None or not arm.rule.spec.only_by_name)
    chosen = {}
    for name in names:
        wanted = _canonical(name, available)
        if wanted not in available:
            if wanted in index.names(RULE):
                check_reads([resolve(index, RULE, wanted, pins)], environment, known.state_spec)
            raise UserError(
                f"There is no arm '{name}' in {environment}.{did_you_mean(wanted, available)}",
                hint=f"Arms here: {', '.join(available)}.",
            )
        chosen[wanted] = available[wanted]
    if not chosen:
        raise UserError("No arm is asked for.", hint=f"Arms here: {', '.join(available)}.")
    return tuple(chosen.values())


def filmed_arm(arms: Sequence[Arm], named: bool) -> Arm:
    """Return whose episode is filmed: that of the first arm that was named, or of `policy-greedy`.

    Raises:
        UserError: the arm is made of other arms' episodes.
    """
    arm = arms[0] if named else next(arm for arm in arms if arm.name == GREEDY)
    if arm.needs or not (arm.learned or arm.rule):
        raise UserError(
            f"An episode of '{arm.name}' cannot be filmed: it is made of other episodes.",
            hint="Name a policy or a rule first, such as --arms policy-greedy,random.",
        )
    return arm


def with_needed(arms: Iterable[Arm]) -> tuple[Arm, ...]:
    """Return arms in the order in which they can be played: those they are made of come before them."""
    ordered: dict[str, Arm] = {}
    for arm in arms:
        for entry in (_OWN[arm.needs],) if arm.needs else ():
            ordered.setdefault(entry.name, entry)
        ordered.setdefault(arm.name, arm)
    return tuple(sorted(ordered.values(), key=lambda arm: bool(arm.needs)))


def _canonical(name: str, available: Iterable[str]) -> str:
    name = name.strip()
    return name if name in available else normalise_name(name)
