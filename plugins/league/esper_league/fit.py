"""Whether a policy, or a plan, is of the game that a league plays; where not, the table of differences. No torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from esper_core.composition.lookup import find_planned
from esper_core.composition.plan import Plan, describe_plan
from esper_core.runs.compatibility import check_fit
from esper_league.game import ENVIRONMENT, FIXED, Difference, Game, differences, game_of, mismatch

if TYPE_CHECKING:
    from esper_core.registry.index import Index
    from esper_core.runs.header import Header

ANOTHER = "Create another league for it, or train a policy in the league's environment."


def check_installed(recorded: Game, plan: Plan, index: Index) -> None:
    """Check that what is installed plays what a league was created for.

    Raises:
        LeagueMismatch: the environment means something else now.
        UserError: it is not installed, or its options are not allowed any more.
    """
    if rows := list(differences(recorded, game_of(plan, index))):
        planned = plan.component(ENVIRONMENT)
        hint = f"Install what it was created with: {planned.distribution} {planned.version}."
        raise mismatch("What is installed plays another game than the league:", rows, "installed", hint)


def check_plan(league: Plan, plan: Plan, index: Index) -> None:
    """Check that the environment of a plan is that of a league, in all that a match depends on; raises LeagueMismatch.

    A learner plays its matches in its own environment, so that options matter.
    """
    if rows := list(differences(game_of(league, index), game_of(plan, index))):
        options = [row for row in rows if row.is_option]
        said = " ".join(f"-o '{row.what}={row.league}'" for row in options)
        hint = f"Train in what it plays: {said}" if len(options) == len(rows) else ANOTHER
        raise mismatch("The league was created for another game:", rows, "plan", hint)


def plan_here(league: Plan, saved: Plan, index: Index) -> Plan:
    """Return the plan of a policy that plays in a league: its own components, in the league's environment.

    Masks, and whatever the environment draws on, are the league's.
    """
    theirs = {*FIXED, *describe_plan(league, index).uses}
    own = [component for component in saved.components if component.kind not in theirs]
    here = [component for component in league.components if component.kind in theirs]
    return evolve(saved, components=(*own, *here))


def check_policy(league: Plan, header: Header, index: Index, *, elsewhere: bool = True) -> tuple[str, ...]:
    """Check that the policy of a checkpoint can play in a league; return differences that do not matter.

    Args:
        league: The league's plan.
        header: That of the checkpoint.
        index: What is installed.
        elsewhere: It may have been trained with other options of the environment.

    Raises:
        LeagueMismatch: it is of another game.
        CheckpointMismatch: it does not fit what is installed.
    """
    rows = _unplayable(league, header, index)
    if not rows and not elsewhere:
        rows = [row for row in differences(game_of(league, index), game_of(header.plan, index)) if row.is_option]
    if rows:
        hint = ANOTHER
        if all(row.is_option for row in rows):
            hint = "It can play all the same, with the league's options: add it with --elsewhere."
        raise mismatch(f"The policy of {header.path} was trained for another game:", rows, "trained", hint)
    return check_fit(header, plan_here(league, header.plan, index), index)


def _unplayable(league: Plan, header: Header, index: Index) -> list[Difference]:
    """Return the differences in spite of which no policy can play."""
    game, saved, rows = game_of(league, index), header.plan, []
    trained = saved.component(ENVIRONMENT)
    if game.environment != (qualified := f"{trained.distribution}:{trained.name}"):
        rows.append(Difference("environment", game.environment, qualified))
    if game.slots and league.slots != saved.slots:
        rows.append(Difference("slots", ", ".join(league.slots), ", ".join(saved.slots)))
    if game.actions != (actions := header.content["actions"]["digest"]):
        rows.append(Difference("actions", game.actions, actions))
    if not rows:
        features = find_planned(index, saved.component("features"))
        here = describe_plan(plan_here(league, saved, index), index).feature_schema.digest
        if here != (schema := header.content["feature_schema"]["digest"]):
            rows.append(Difference(f"schema of {features.key}", here, schema))
    return rows
