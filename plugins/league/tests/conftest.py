"""A league that plays rock, paper, scissors, and runs of the reference policy in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from esper_core.composition.plan import Plan, PlanRequest, make_plan
from esper_core.learning.session import open_session
from esper_core.registry.index import Index
from esper_core.registry.loading import load_index
from esper_core.runs.checkpoint import save_checkpoint
from esper_core.runs.directory import RunDirectory
from esper_league import Glicko2Rating, League, LeagueEntry, Match
from esper_testing.reference.plugin import DISTRIBUTION, REFERENCES, with_references

DUEL = {**REFERENCES, "environment": f"{DISTRIBUTION}:duel", "masks": f"{DISTRIBUTION}:duel"}

Planned = Callable[..., Plan]
MakeRun = Callable[..., RunDirectory]


@pytest.fixture(scope="session")
def index() -> Index:
    """Core, the rules that play anywhere, and the reference world."""
    return with_references(load_index(only=("evaluation", "league")))


@pytest.fixture(scope="session")
def planned(index: Index) -> Planned:
    """Return a function that plans a run in the duel; what it is given changes the request."""

    def plan(*options: str, **said: Any) -> Plan:
        known = {"policy": DUEL["network"], "slots": "2", "envs": 3, "updates": 1, "device": "cpu", "uses": DUEL}
        return make_plan(PlanRequest(**{**known, **said, "options": options}), index)

    return plan


@pytest.fixture(scope="session")
def make_run(index: Index, planned: Planned, tmp_path_factory: pytest.TempPathFactory) -> MakeRun:
    """Return a function that trains the reference policy; what it is given changes the request."""
    out = tmp_path_factory.mktemp("runs")

    def make(*options: str, **said: Any) -> RunDirectory:
        plan = planned(*options, **said)
        run = RunDirectory.create(out, plan, index)
        trainer = open_session(plan, index)
        for update in trainer.run(plan.updates):
            save_checkpoint(run, trainer, update)
        return run

    return make


@pytest.fixture(scope="session")
def run(make_run: MakeRun) -> RunDirectory:
    """A run of one update."""
    return make_run()


@pytest.fixture
def arena(index: Index, planned: Planned, tmp_path: Path) -> Iterator[League]:
    """An empty league."""
    with League.create(tmp_path / "arena", planned(), index) as league:
        yield league


def enter(league: League, *entries: LeagueEntry) -> None:
    """Put entries into a league that have no weights; the later ones are younger."""
    with league._store.writing():
        for number, entry in enumerate(entries):
            league._store.insert(evolve(entry, created_at=entry.created_at or f"2026-01-01T00:00:{number:02}+00:00"))


def commander(name: str, rating: float = 1500.0, rd: float = 50.0, games: int = 100, **said: Any) -> LeagueEntry:
    """Return a commander whose id is its name."""
    return LeagueEntry(name, name, said.pop("kind", "commander"), Glicko2Rating(rating, rd), games, **said)


def play(league: League, *results: tuple[str, str, float], first: int = 0) -> None:
    """Record matches, each of an instance of its own."""
    for number, (one, other, score) in enumerate(results):
        assert league.record(Match(one, other, first + number, score))
