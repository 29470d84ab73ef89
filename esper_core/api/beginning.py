"""From a run to the plan of another that begins with its weights. Torch is not imported."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import evolve

from esper_core.composition.config import Option, structure_config, unstructure_config
from esper_core.composition.fit import OPPONENTS, TEACHER
from esper_core.composition.lookup import find_planned
from esper_core.composition.plan import Init, Plan, PlanRequest, make_plan
from esper_core.composition.recipes import Recipes
from esper_core.composition.selection import TEACHES, TRAIN
from esper_core.contracts.components import normalise_name
from esper_core.contracts.errors import ConfigError
from esper_core.registry.index import Index
from esper_core.registry.resolve import split_name
from esper_core.runs.compatibility import FITTED, check_fit
from esper_core.runs.header import Header

NOT_TAKEN_OVER = (TEACHER, OPPONENTS)
"""Kinds that a plan can do without: who taught or was played against does so again only where that is said."""

AFTER_TEACHING = "critic_alone"
"""The option of the trainer that comes of teaching without its name."""

SETTINGS = ("envs", "updates", "seed", "device", "threads", "precision")


def plan_from(header: Header, request: PlanRequest, index: Index, recipes: Recipes) -> Plan:
    """Return the plan of a run that begins with the weights of a checkpoint; what is not said is as in its run.

    In another environment only the parts of the policy are, with their options.

    Raises:
        ConfigError: another policy is asked for.
        CheckpointMismatch: the weights cannot fit; the table says where.
        UserError, PluginError: as for `make_plan`.
    """
    saved = header.plan
    if request.policy is not None:
        raise ConfigError(
            f"A run that begins with weights has the policy that they are of, '{saved.policy}': "
            f"'{request.policy}' cannot be named beside.",
            hint="Leave --policy out, or --init.",
        )
    plan = make_plan(_filled_in(request, saved, index), index, recipes)
    return beginning_with(evolve(plan, policy=saved.policy), header, index)


def beginning_with(plan: Plan, header: Header, index: Index) -> Plan:
    """Return a plan that begins with the weights of a checkpoint; raises CheckpointMismatch where they cannot fit."""
    check_fit(header, plan, index)
    run = header.path.absolute().parent.parent
    return evolve(plan, init=Init(run=str(run), update=header.update, digest=str(header.content["digest"])))


def _filled_in(request: PlanRequest, saved: Plan, index: Index) -> PlanRequest:
    """Return a request that says what it says, and all else as a plan."""
    uses = {normalise_name(kind): name for kind, name in request.uses.items()}
    if request.environment is not None:
        uses.setdefault("environment", request.environment)
    same_place = _names(uses.get("environment"), saved, "environment")
    kinds = [kind for kind in saved.kinds if kind not in NOT_TAKEN_OVER and (same_place or kind in FITTED)]
    taken = {
        kind: f"{saved.component(kind).distribution}:{saved.component(kind).name}"
        for kind in kinds
        if not index.kinds[kind].several and kind not in uses
    }
    options = [
        option for kind in kinds if _names(uses.get(kind), saved, kind) for option in _options(saved, kind, index)
    ]
    if same_place:
        taught = TEACHER in uses
        train = {
            key: value
            for key, value in saved.train.items()
            if taught or not (key.startswith(TEACHES) or key == AFTER_TEACHING)
        }
        options += [Option(TRAIN, None, key, value) for key, value in train.items()]
    for key in ("epochs", "workers"):
        if getattr(request, key) is not None:
            options = [option for option in options if (option.kind, option.key) != ("environment", key)]
    slots = ",".join(map(str, saved.drawn)) or ",".join(saved.slots)
    settings = {name: getattr(saved, name) for name in SETTINGS if getattr(request, name) is None}
    return evolve(
        request,
        policy=taken.get("network"),
        slots=request.slots or slots,
        uses={**taken, **request.uses},
        options=[*options, *request.options],
        **settings,
    )


def _names(name: str | None, saved: Plan, kind: str) -> bool:
    """Return whether a name, if there is one, means the component of a kind that a plan has."""
    return name is None or any(normalise_name(split_name(name)[1]) == c.name for c in saved.of_kind(kind))


def _options(saved: Plan, kind: str, index: Index) -> Iterator[Option]:
    """Yield the options of a kind's components; of those that an environment draws on, what nobody would get unsaid."""
    several = index.kinds[kind].several
    for planned in saved.of_kind(kind):
        unsaid = unstructure_config(structure_config(find_planned(index, planned), {})) if several else {}
        for key, value in planned.config.items():
            if not several or unsaid.get(key) != value:
                yield Option(kind, planned.name if several else None, key, value)
