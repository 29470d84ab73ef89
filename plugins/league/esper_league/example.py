"""A league to check opponents in: rock, paper, scissors, with two untrained policies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attrs import evolve

from esper_core.composition.plan import PlanRequest, make_plan
from esper_core.learning.session import open_session
from esper_core.registry.loading import load_index
from esper_league.league import League
from esper_testing.conformance.subject import BRIEF
from esper_testing.reference.plugin import DISTRIBUTION, REFERENCES, with_references


def example(folder: Path) -> dict[str, Any]:
    """Return options that name a league in a folder, made for what components are checked in."""
    index = with_references(load_index(only=()))
    uses = {**REFERENCES, "environment": f"{DISTRIBUTION}:duel", "masks": f"{DISTRIBUTION}:duel"}
    options = [f"environment.epochs={BRIEF['epochs']}"]
    request = PlanRequest(policy=REFERENCES["network"], slots="3", uses=uses, options=options, envs=1, device="cpu")
    plan = make_plan(request, index)
    with League.create(folder / "league", plan, index) as league:
        for seed in (1, 2):
            own = evolve(plan, seed=seed)
            trainer = open_session(own, index)
            tensors = trainer.state().tensors
            league.add_policy(tensors, None, own, index, update=0, environment_steps=0, source=f"seed-{seed}")
            trainer.environment.close()
    return {"dir": str(folder / "league"), "candidate_every": 0}
