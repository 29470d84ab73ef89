"""What a learner knows of a league, and the flags that name it; no torch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from attrs import evolve

from esper_core.cli.app import run
from esper_core.contracts.plain import from_exact, to_exact
from esper_league.entry import COMMANDER, RETIRED, RULE, LeagueEntry
from esper_league.glicko import Glicko2Rating, rate
from esper_league.standing import MEMORY_GAMES, Score, Standing

ENTRIES = [LeagueEntry(f"id{n}", name, rating=Glicko2Rating(1500 + 100 * n, 50)) for n, name in enumerate("abc")]


def test_matches_rate_the_learner_and_decide_whom_it_meets() -> None:
    standing = Standing()
    standing.look(ENTRIES)
    playing = standing.playing(3)
    assert standing.weights("pfsp", playing) == pytest.approx([1 / 3] * 3)
    played = [("a", 1.0)] * 6 + [("c", 0.0)] * 6
    standing.played(played)
    ratings = {entry.name: entry.rating for entry in ENTRIES}
    assert standing.learner == rate(Glicko2Rating(), [(ratings[name], won) for name, won in played])
    weights = dict(zip("abc", standing.weights("pfsp", playing), strict=True))
    assert weights["c"] > weights["b"] > weights["a"], "who is hard to beat is met more"
    assert standing.weights("uniform", playing) == pytest.approx([1 / 3] * 3)
    near = evolve(standing.learner, rating=1700.0)
    standing.learner = near
    by_rating = standing.weights("rating", playing)
    assert by_rating == sorted(by_rating)


def test_earlier_matches_fade() -> None:
    score = Score()
    for _ in range(1000):
        score.add(1.0)
    assert score.points == score.games == pytest.approx(MEMORY_GAMES, rel=1e-3)
    for _ in range(int(MEMORY_GAMES)):
        score.add(0.0)
    assert score.points / score.games == pytest.approx(0.366, abs=0.001)


def test_the_retired_and_the_broken_are_known_but_not_drawn() -> None:
    standing = Standing(broken={"id1"})
    standing.look([evolve(ENTRIES[0], kind=RETIRED, retired_at="now"), *ENTRIES[1:]])
    assert [rival.name for rival in standing.playing(3)] == ["c"]
    standing.played([("a", 0.5)])


def test_old_candidates_are_met_no_more_unless_they_are_promoted() -> None:
    standing = Standing()
    standing.look([evolve(ENTRIES[0], kind=COMMANDER), *ENTRIES[1:], LeagueEntry("rule", "rule", RULE)])
    for recent, expected in ((0, ["a", "rule"]), (1, ["a", "c", "rule"]), (9, ["a", "b", "c", "rule"])):
        assert [rival.name for rival in standing.playing(recent)] == expected


def test_it_is_exact_after_it_was_written_down() -> None:
    standing = Standing()
    assert Standing.restored(standing.state()) == standing
    standing.look(ENTRIES)
    standing.broken.add("id2")
    standing.played([("a", 1.0), ("b", 0.5)])
    written = from_exact(json.loads(json.dumps(to_exact(standing.state()))))
    assert Standing.restored(written) == standing


def test_flags_of_train_choose_a_league(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    flags = ["--opponents", "2026", "--matchmaking", "rating", "--candidate-every", "5", "--self-play", "0.5"]
    assert run(["train", "--policy", "combat-suite", *flags, "--dry-run", "--json"]) == 0
    (chosen,) = (c for c in json.loads(capsys.readouterr().out)["components"] if c["kind"] == "opponents")
    config = {"dir": str(tmp_path / "2026"), "matchmaking": "rating", "candidate_every": 5, "self_play": 0.5}
    assert (chosen["name"], chosen["config"]) == ("league", {**config, "recent_candidates": 10})
    assert run(["train", "--policy", "mlp", "--environment", "gymnasium", *flags, "--dry-run"]) == 2
    said = capsys.readouterr().err
    assert "opponents 'league'" in said and "environment 'gymnasium'" in said and "has no two sides" in said
    assert "--use environment=NAME: echelon" in said
