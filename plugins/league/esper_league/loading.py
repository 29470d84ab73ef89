"""From an entry to what drives a side. This imports torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from attrs import evolve

from esper_core.composition.build import ONLY_TRAINING, build_beside, build_parts, make_context, resolve_device
from esper_core.composition.config import structure_config
from esper_core.composition.plan import describe_plan, owners_of
from esper_core.contracts.plain import from_exact
from esper_core.learning.normalise import ReturnNormaliser
from esper_core.policy.drivers import PolicyDriver, RuleDriver
from esper_core.policy.policy import Policy
from esper_core.runs.checkpoint import load_policy
from esper_core.runs.header import read_header
from esper_league.adding import rule_of
from esper_league.entry import RULE, LeagueEntry
from esper_league.fit import plan_here

if TYPE_CHECKING:
    from esper_core.composition.plan import Plan
    from esper_core.contracts.sides import Driver
    from esper_core.registry.index import Index


class Place(Protocol):
    """What loading needs of a league, such as a `League`, or what stands for one in another process."""

    @property
    def plan(self) -> Plan:
        """The plan of what is played."""

    def weights(self, entry: LeagueEntry) -> Path:
        """Return the folder of an entry's checkpoint."""


def load_driver(league: Place, entry: LeagueEntry, index: Index, *, device: str = "cpu") -> Driver:
    """Return what plays as an entry: its name is the entry's id, and a policy draws its actions as in training.

    Raises:
        CheckpointMismatch: its weights are damaged, or do not fit what is installed.
        PluginError: a part of it cannot be built.
    """
    known = describe_plan(league.plan, index)
    if entry.kind == RULE:
        component = rule_of(entry, index)
        plan = evolve(league.plan, device=device)
        context = make_context(plan, known, device=device)
        masks = build_parts(plan, index, only={"masks", *known.uses})["masks"]
        config = structure_config(component, from_exact(entry.meta["config"]))
        return RuleDriver(entry.id, build_beside(component, index, context, config), masks, known.rows, component.owner)
    header = read_header(league.weights(entry))
    plan = evolve(plan_here(league.plan, header.plan, index), device=resolve_device(device))
    parts = build_parts(plan, index, only={*plan.kinds, *known.uses} - {"environment", *ONLY_TRAINING})
    policy = Policy(parts["network"], parts["critic"], known.actions, plan.precision, owners_of(plan, index))
    load_policy(header.path, policy, parts["features"], plan, index, ReturnNormaliser())
    return PolicyDriver(entry.id, policy.eval(), parts["features"], parts["masks"], known.rows)
