"""`esper league create`."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

import typer

from esper_core.cli import choices
from esper_core.cli.installed import load_installed
from esper_core.cli.output import kept, print_json, say
from esper_core.composition.config import parse_option
from esper_core.composition.plan import PlanRequest, describe_plan, make_plan
from esper_core.contracts.errors import ConfigError
from esper_core.registry.resolve import resolve
from esper_league.commands.opening import Directory
from esper_league.game import FIXED, check_sides, describe_with_defaults
from esper_league.league import League


def create(
    context: typer.Context,
    league: Directory,
    environment: Annotated[str, typer.Option(metavar="NAME", help="What is played; it has two sides.")],
    slots: choices.OneSlots = None,
    use: choices.Uses = None,
    option: choices.Options = None,
    as_json: choices.AsJson = False,
) -> None:
    """Begin a league in a directory.

    What is played is fixed from then on: the environment, and those of its options that matches depend on. Who was
    trained for something else is refused, with the table of differences.

    \b
      esper league create arena --environment echelon
      esper league create large --environment echelon -o environment.packs=2
    """  # noqa: D301
    index, recipes = load_installed(context)
    component = resolve(index, "environment", environment, recipes.pins)
    with suppress(ConfigError):  # without an option that it needs it is described by the plan below
        check_sides(component, describe_with_defaults(component), index)
    uses = choices.parse_uses(use)
    # A plan names a policy, though nobody in the league need be of it.
    policy = uses.get("network") or component.spec.defaults.get("network")
    request = PlanRequest(policy=policy, environment=environment, slots=slots, uses=uses, options=option or ())
    plan = make_plan(request, index, recipes)
    known = describe_plan(plan, index)
    if slots is not None and known.actions.slot is None:
        raise ConfigError(f"The {component} has no slots, so --slots says nothing.", hint="Drop --slots.")
    fixed = (*FIXED, *known.uses)
    for said in map(parse_option, option or ()):
        if said.kind not in fixed:
            message = f"-o {said.kind}.{said.key} says nothing about a league: it fixes what is played, and no policy."
            raise ConfigError(message, hint=f"Drop it. Options here are those of {', '.join(fixed)}.")
    with League.create(league, plan, index) as made, kept(f"{league} is a league now."):
        if as_json:
            print_json({"league": str(league), "game": made.game.to_json(), "digest": made.game.digest})
        else:
            say(f"{league} plays {made.game.environment}, whose sides are {' and '.join(made.game.sides)}.")
            say(f"Add somebody: esper league add {league} RUN, or esper league add {league} --rule NAME")
