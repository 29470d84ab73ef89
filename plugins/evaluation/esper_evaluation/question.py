"""What is asked of some policies: who plays, where, on how many instances. No torch is imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import evolve, frozen

from esper_core.api.beginning import plan_from
from esper_core.composition.config import Option
from esper_core.composition.lookup import find_planned
from esper_core.composition.plan import Plan, PlanDescription, PlanRequest, describe_plan
from esper_core.composition.recipes import Recipes
from esper_core.contracts.errors import ConfigError, UserError, did_you_mean
from esper_core.contracts.slots import SlotConfig
from esper_core.registry.index import Index
from esper_core.runs.compatibility import check_fit
from esper_core.runs.directory import RunDirectory
from esper_core.runs.header import Header
from esper_core.runs.shards import Shards
from esper_evaluation.arms import POLICY, SELECTOR, Arm, choose_arms
from esper_evaluation.entrants import Entrant, choose_entrants, search_batches, training_episodes
from esper_evaluation.looked import PAIRED, PRIMARIES, Look, names_of, now
from esper_evaluation.merging import shards_of
from esper_evaluation.search import Search

MAX_FRESH = 1_000_000
"""The first of fresh instances at most: all before it are named to find it."""


@frozen
class Question:
    """What is asked of some policies: who plays, on how many instances.

    Attributes:
        entrants: The policies.
        known: Description of their plan.
        arms: Who takes part.
        search: The search for `best-fixed`.
        trained: Episodes that a policy was trained with.
        look: Which held-out instances are played, and what decides.
        draws: Batches of training instances that rules play, so that the best can be chosen there, or by kind.
    """

    entrants: tuple[Entrant, ...]
    known: PlanDescription
    arms: tuple[Arm, ...]
    search: Search
    trained: int
    look: Look
    draws: int

    @property
    def shards(self) -> Shards:
        """Where it is shared out."""
        return shards_of(self.entrants, self.arms, self.look, self.search)


def ask(
    runs: Sequence[RunDirectory],
    index: Index,
    recipes: Recipes,
    *,
    at: str,
    arms: Sequence[str] | None,
    instances: int,
    search_episodes: int | None,
    fresh: int | None,
    primary: str,
    again: bool,
    slots: str | None,
    uses: Mapping[str, str],
    options: Sequence[str | Option],
) -> Question:
    """Return what is asked of some runs, with what is installed; arguments and errors are those of `evaluate`."""
    if not runs:
        raise UserError("There is no run to evaluate.", hint="Name one or more.")

    def place(header: Header) -> Plan:
        if uses or options:
            elsewhere = plan_from(header, PlanRequest(slots=slots, uses=uses, options=options), index, recipes)
            return evolve(elsewhere, init=header.plan.init)
        return header.plan if slots is None else header.plan.at(SlotConfig.parse(slots))

    entrants = choose_entrants(runs, at, place)
    plan = entrants[0].plan
    for entrant in entrants:
        check_fit(entrant.header, entrant.plan, index)
    known, environment = describe_plan(plan, index), find_planned(index, plan.component("environment"))
    chosen = choose_arms(arms, index, known, environment, recipes.pins)
    together = max(1, len(known.sides))
    if instances % together:
        raise ConfigError(
            f"{instances} instances leave a seed with one side: {environment} plays each from {together}.",
            hint=f"Use --instances {instances + 1}.",
        )
    trained = training_episodes(entrants, known.horizon)
    batches = search_batches(entrants, trained if search_episodes is None else search_episodes)
    names = {arm.name for arm in chosen}
    rules = {arm.name for arm in chosen if arm.rule is not None}
    if primary not in PRIMARIES:
        message = f"primary cannot be '{primary}'.{did_you_mean(primary, PRIMARIES)}"
        raise ConfigError(message, hint=f"Allowed: {', '.join(PRIMARIES)}.")
    if primary == PAIRED and (POLICY not in names or not rules):
        lacking = "no rule" if POLICY in names else f"no '{POLICY}'"
        message = f"There is nothing to decide by the {PAIRED}: {lacking} is among the arms."
        raise ConfigError(message, hint=f"Name '{POLICY}' and a rule, or leave --arms out.")
    if primary == PAIRED and instances < 2 * together:
        raise ConfigError(f"{instances} instances are one seed.", hint=f"Use --instances {2 * together} or more.")
    if again and fresh is None:
        raise ConfigError("--again means nothing without --fresh.", hint="Without --fresh any instances are played.")
    if (fresh or 0) > MAX_FRESH:
        raise ConfigError(f"--fresh cannot be {fresh}.", hint=f"It is {MAX_FRESH} at most.")
    if (fresh or 0) % together:
        raise ConfigError(f"--fresh {fresh} parts a seed from its other side.", hint=f"Use --fresh {(fresh or 0) + 1}.")
    if SELECTOR in names and len(rules) < 2:
        message = f"The arm '{SELECTOR}' chooses among the rules that take part, and {len(rules)} does."
        raise ConfigError(message, hint="Name two rules or more beside it, or leave --arms out.")
    draws = -(-instances // plan.envs) if primary == PAIRED or SELECTOR in names else 0
    look = Look(
        at=now(),
        environment=environment.qualified,
        first=fresh or 0,
        count=instances,
        runs=names_of(runs),
        policies=[entrant.version for entrant in entrants],
        slots=list(plan.slots),
        arms=[arm.name for arm in chosen],
        primary=primary,
        fresh=fresh is not None,
        again=again,
    )
    return Question(entrants, known, chosen, Search(batches, plan.envs), trained, look, draws)
