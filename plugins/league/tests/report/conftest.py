"""Leagues played by hand: who beats whom is known, and any text can be in them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from esper_core.composition.plan import PlanRequest, make_plan
from esper_core.registry.index import Index
from esper_core.registry.loading import load_index
from esper_league.entry import CANDIDATE, LeagueEntry
from esper_league.league import League
from esper_league.match import Happening, Match
from esper_league.store import now
from esper_testing.reference.plugin import REFERENCES, with_references


@pytest.fixture(scope="session")
def index() -> Index:
    return with_references(load_index(only=("evaluation",)))


class Hand:
    """A league, and a hand that writes into it what commands would."""

    def __init__(self, path: Path, index: Index) -> None:
        uses = {kind: REFERENCES[kind] for kind in ("network", "features", "critic", "loss")}
        plan = make_plan(PlanRequest(policy="reference", environment="duel", uses=uses), index)
        self.league, self._seed = League.create(path, plan, index), 0

    def add(self, name: str, kind: str = CANDIDATE, source: str = "", **meta: Any) -> str:
        """Add an entry, whose id is made of its name, without weights."""
        entry = LeagueEntry(f"{name}-id", name, kind, created_at=now(), source=source or f"runs/{name}@8", meta=meta)
        store = self.league._store
        with store.writing():
            store.insert(entry)
            store.note(Happening(entry.created_at, entry.id, "added", {"source": entry.source}))
        return entry.id

    def play(self, first: str, second: str, scores: Sequence[float]) -> None:
        """Record matches of two names."""
        for score in scores:
            self._seed += 1
            self.league.record(Match(f"{first}-id", f"{second}-id", self._seed, score))

    def season(self, strengths: Mapping[str, float], games: int = 10, seed: int = 0) -> None:
        """Let everybody play everybody, as strengths in points let expect, and close the period."""
        luck = random.Random(seed)
        for a, b in combinations(strengths, 2):
            chance = 1 / (1 + 10 ** ((strengths[b] - strengths[a]) / 400))
            self.play(a, b, [float(luck.random() < chance) for _ in range(games)])
        self.league.rate_period()


@pytest.fixture
def make_league(tmp_path: Path, index: Index) -> Iterator[Callable[..., Hand]]:
    """Return a function that begins a league."""
    made: list[Hand] = []

    def make(name: str = "arena") -> Hand:
        made.append(Hand(tmp_path / name, index))
        return made[-1]

    yield make
    for hand in made:
        hand.league.close()


@pytest.fixture
def sound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is in a league can play, with weights or without."""
    monkeypatch.setattr(League, "broken", lambda *_: "")
