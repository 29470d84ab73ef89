"""From a run or a rule to an entry. Torch is not imported."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from esper_core.composition.config import structure_config, unstructure_config
from esper_core.composition.fit import check_reads
from esper_core.composition.lookup import find_planned
from esper_core.composition.plan import Plan, describe_plan
from esper_core.contracts.errors import IncompatiblePlan
from esper_core.contracts.plain import to_exact
from esper_core.registry.resolve import resolve
from esper_core.runs.checkpoint import choose_checkpoint, verify_checkpoint
from esper_league import weights as checkpoints
from esper_league.entry import CANDIDATE, RULE, LeagueEntry
from esper_league.fit import check_policy
from esper_league.game import ENVIRONMENT

if TYPE_CHECKING:
    from esper_core.registry.index import Component, Index
    from esper_core.runs.directory import RunDirectory
    from esper_league.weights import Weights


@frozen
class Newcomer:
    """Who is about to be added: what an entry says, and the weights, which a rule does not have."""

    id: str
    name: str
    kind: str
    source: str
    meta: Mapping[str, Any]
    weights: Weights | None = None

    def write(self, league: Path) -> None:
        """Write the weights into the league, if there are any; raises EsperError."""
        if self.weights is not None:
            checkpoints.write(league, self.weights)


def from_run(league: Plan, run: RunDirectory, index: Index, *, at: str, elsewhere: bool) -> Newcomer:
    """Return the policy of a run's checkpoint; raises as `League.add_run`."""
    path = choose_checkpoint(run, at)
    notes = check_policy(league, verify_checkpoint(path), index, elsewhere=elsewhere)
    weights = checkpoints.read(path)
    plan, update, source = weights.content["plan"], weights.content["update"], str(run.shown())
    meta = {
        "run": str(run.path),
        "update": update,
        "environment_steps": weights.content["environment_steps"],
        "policy": plan["policy"],
        "seed": plan["seed"],
        "notes": list(notes),
    }
    policy = re.sub(r"[^A-Za-z0-9._-]+", "-", plan["policy"]).strip("-.")[:60] or "policy"
    short_id = run.name.rpartition("-")[2]
    return Newcomer(weights.id, f"{policy}-{short_id}@{update}", CANDIDATE, f"{source}@{update}", meta, weights)


def from_rule(league: Plan, rule: str, index: Index, pins: Mapping[str, str] | None) -> Newcomer:
    """Return a rule with its default options; raises as `League.add_rule`."""
    component = resolve(index, RULE, rule, pins)
    try:
        _check_rule(league, component, index)
    except IncompatiblePlan as error:
        able = [other.name for other in index.of_kind(RULE) if _can_play(league, other, index)]
        error.hint = f"Rules that can play here: {', '.join(able) or 'none'}."
        raise
    config = to_exact(unstructure_config(structure_config(component, {})))
    meta = {"rule": component.name, "distribution": component.distribution, "version": component.version}
    acts = [component.qualified, config]
    digest = hashlib.sha256(json.dumps(acts, sort_keys=True).encode()).hexdigest()[:16]
    return Newcomer(digest, component.name, RULE, f"rule {component.name}", {**meta, "config": config})


def _can_play(league: Plan, rule: Component, index: Index) -> bool:
    with suppress(IncompatiblePlan):
        _check_rule(league, rule, index)
        return True
    return False


def rule_of(entry: LeagueEntry, index: Index) -> Component:
    """Return the installed rule that an entry is; raises UnknownComponent."""
    return resolve(index, RULE, f"{entry.meta['distribution']}:{entry.meta['rule']}")


def check(league: Plan, entry: LeagueEntry, path: Path, index: Index) -> None:
    """Check that an entry can play in a league, its weights in the folder `path`; raises EsperError."""
    if entry.kind == RULE:
        _check_rule(league, rule_of(entry, index), index)
    else:
        check_policy(league, verify_checkpoint(path), index)


def _check_rule(league: Plan, rule: Component, index: Index) -> None:
    environment = find_planned(index, league.component(ENVIRONMENT))
    check_reads([rule], environment, describe_plan(league, index).state_spec)
