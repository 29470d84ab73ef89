"""A league to check opponents in: rock, paper, scissors, with two policies of one update."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attrs import evolve

from esper_core.composition.plan import PlanRequest, make_plan
from esper_core.learning.session import open_session
from esper_core.registry.loading import load_index
from esper_core.runs.checkpoint import save_checkpoint
from esper_core.runs.directory import RunDirectory
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
            run, trainer = RunDirectory.create(folder / "runs", own, index), open_session(own, index)
            for update in trainer.run(1):
                save_checkpoint(run, trainer, update)
            league.add_run(run, index)
    return {"dir": str(folder / "league"), "candidate_every": 0}
