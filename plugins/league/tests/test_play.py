"""Matches of a league, whose results are known: rock, paper, scissors, and policies that exchange sides."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from attrs import evolve

from esper_core import ComponentSpec
from esper_core.cli.app import main
from esper_core.cli.app import run as esper
from esper_core.composition.recipes import Recipes
from esper_core.contracts.errors import PluginError, UserError
from esper_core.registry.index import Component, Index
from esper_league import League
from esper_league.commands import play as command
from esper_league.play import play
from esper_league.schedule import Fixture
from esper_league.stage import Broken, Result, Stage
from esper_testing.reference.describe import MOVES
from esper_testing.reference.duel import BETTER, Steady
from plugins.league.tests.conftest import MakeRun, Planned
from tests.runs import forking


class Move:
    """A rule that makes the same move always."""

    def __init__(self, move: int) -> None:
        self.move = move

    def reset(self, num_envs: int) -> None:
        pass

    def __call__(self, state: Any, masks: Any, generator: torch.Generator) -> dict[str, torch.Tensor]:
        return {"move": torch.full_like(state["mine"], self.move)}


def rock(config: Any, context: Any) -> Move:
    return Move(0)


def paper(config: Any, context: Any) -> Move:
    return Move(1)


def scissors(config: Any, context: Any) -> Move:
    return Move(2)


@pytest.fixture(scope="module")
def moves(index: Index) -> Index:
    """What is installed, and a rule for each move."""
    specs = [ComponentSpec(kind="rule", name=move, factory=f"{__name__}:{move}", reads=("mine",)) for move in MOVES]
    return evolve(index, components=(*index.components, *(Component(s, "moves", "moves", "0") for s in specs)))


@pytest.fixture
def game(moves: Index, planned: Planned, tmp_path: Path) -> Iterator[League]:
    """A league of the three moves, in matches of one round between two players."""
    plan = planned("environment.epochs=1", "environment.players=1")
    with League.create(tmp_path / "game", plan, moves) as league:
        for move in MOVES:
            league.add_rule(move, moves)
        yield league


def results(league: League) -> dict[tuple[str, str, int], float]:
    return {(match.first, match.second, match.instance): match.score for match in league.matches()}


def test_the_better_move_wins_as_often_as_it_must_and_no_rating_can_say_so(game: League, moves: Index) -> None:
    told: list[tuple[int, int]] = []
    played = play(game, moves, games=600, on_progress=lambda done, total: told.append((done, total)))
    assert (played.matches, dict(played.broken)) == (600, {}) and told[0] == (0, 600) and told[-1] == (600, 600)
    matrix = game.matrix()
    wins = {
        (one, other): matrix.wins[i][j] for i, one in enumerate(matrix.names) for j, other in enumerate(matrix.names)
    }
    for better, worse in (("paper", "rock"), ("scissors", "paper"), ("rock", "scissors")):
        assert abs(wins[better, worse] / 200 - BETTER) < 0.085, "four standard deviations of 200 matches"
        assert wins[better, worse] + wins[worse, better] == 200
    assert len(game.cyclic_triples()) == 1
    assert {entry.games for entry in game.entries()} == {400}
    assert game.matches()[0].outcome["steps"] == 1 and set(game.matches()[0].outcome) >= {"won"}


def test_it_plays_on_where_it_was_stopped_and_the_same_in_any_number_of_processes(
    game: League, moves: Index, planned: Planned, tmp_path: Path
) -> None:
    def stop(done: int, total: int) -> None:
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        play(game, moves, games=60, on_progress=stop)
    assert len(game.matches()) == 7
    play(game, moves, games=53)
    with League.create(tmp_path / "other", game.plan, moves) as other:
        for move in MOVES:
            other.add_rule(move, moves)
        play(other, moves, games=60, workers=2)
        assert results(other) == results(game) and len(results(game)) == 60


def test_a_match_with_the_sides_exchanged_has_the_other_winner(
    index: Index, planned: Planned, make_run: MakeRun, arena: League
) -> None:
    from esper_league.loading import load_driver

    entries = {added.entry.id: added.entry for added in (arena.add_run(make_run(seed=s), index) for s in (1, 2))}
    stage = Stage(arena.plan, index, lambda entry: load_driver(arena, entries[entry], index))
    one, two = entries
    held = stage.held_out(12)
    first = [Fixture(one, two, number) for number in held]
    there = {r.fixture: r.score for found in stage.play(first) for r in found if isinstance(r, Result)}
    second = [Fixture(two, one, number ^ 1) for number in held[:5]]
    back = {r.fixture: r.score for found in stage.play(second) for r in found if isinstance(r, Result)}
    stage.close()
    assert set(there) == set(first) and set(there.values()) > {0.0, 1.0}
    for fixture, score in back.items():
        assert score + there[Fixture(one, two, fixture.instance ^ 1)] == 1


def test_who_cannot_play_is_left_out_and_the_others_play(
    game: League, moves: Index, planned: Planned, make_run: MakeRun
) -> None:
    run = make_run("environment.epochs=1", "environment.players=1", seed=4)
    damaged = game.add_run(run, moves).entry
    (game.weights(damaged) / "policy.safetensors").write_bytes(b"nothing")
    said: list[str] = []
    played = play(game, moves, games=6, warn=said.append)
    assert played.matches == 6 and list(played.broken) == [damaged.name] and f"'{damaged.name}' cannot play" in said[0]
    assert not any(damaged.id in key for key in results(game))


@pytest.mark.parametrize("workers", [0, 2])
def test_who_cannot_be_loaded_is_left_out_in_the_middle(
    game: League, moves: Index, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from esper_league import play as module

    load = module.load_driver

    def refusing(league: League, entry: Any, index: Index) -> Any:
        if entry.name == "paper":
            raise UserError("It does not fit.")
        return load(league, entry, index)

    monkeypatch.setattr(module, "load_driver", refusing)
    told: list[tuple[int, int]] = []
    played = play(game, moves, games=12, workers=workers, on_progress=lambda *now: told.append(now))
    assert dict(played.broken) == {"paper": "It does not fit."} and played.matches == 4 == told[-1][0] == told[-1][1]


def test_a_stage_names_who_breaks_the_contract(game: League, moves: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(game.plan, moves, lambda entry: Steady(entry, 0))
    batch = [Fixture("a", "b", 2**32)]
    monkeypatch.setattr("esper_testing.reference.duel.Duel._events", lambda self, match: [])
    with pytest.raises(PluginError, match="has not told how every match ended"):
        list(stage.play(batch))
    stage.close()
    refusing = Stage(game.plan, moves, lambda entry: (_ for _ in ()).throw(UserError("no")))
    assert list(refusing.play(batch)) == [[Broken("b", "no")]]


def test_two_processes_do_not_play_the_same_matches(game: League, moves: Index) -> None:
    def again(done: int, total: int) -> None:
        with pytest.raises(UserError, match=r"Process \d+ on .* works on matches of the league .*game\."):
            play(game, moves, games=2)

    assert play(game, moves, games=2, on_progress=again).matches == 2


def test_a_league_of_one_has_nobody_to_play(arena: League, index: Index) -> None:
    arena.add_rule("random", index)
    with pytest.raises(UserError, match="one entry alone that can play"):
        play(arena, index, games=2)


def test_the_command_says_how_far_it_is_and_what_to_do_next(
    game: League, moves: Index, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "load_installed", lambda *_: (moves, Recipes()))
    assert esper(["league", "play", str(game.path), "--games", "6", "--workers", "0"]) == 0
    captured = capsys.readouterr()
    assert f"6 matches are on record. Rate everybody by them: esper league rate {game.path}" in captured.out
    assert "6 of 6 matches" in captured.err
    with sqlite3.connect(game.path / "league.sqlite") as file:
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def eventually(holds: Callable[[], bool]) -> None:
    """Wait until something holds, a minute at most."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def is_gone(group: int) -> bool:
    """Return whether no process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.slow  # a process and its workers are started seven times
@pytest.mark.parametrize("workers", ["0", "2"])
def test_killed_while_it_plays_it_plays_on_and_plays_nothing_twice(
    game: League, moves: Index, planned: Planned, tmp_path: Path, workers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "load_installed", lambda *_: (moves, Recipes()))
    draw, words, total = random.Random(5), ["league", "play", str(game.path), "--workers", workers, "--games"], 300
    for _ in range(6):
        had = len(game.matches())
        process = forking.start(main, [*words, str(total)])
        more = draw.randrange(30)
        eventually(lambda had=had, more=more: len(game.matches()) >= had + more)
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        eventually(lambda group=process.pid: is_gone(group))
        with sqlite3.connect(game.path / "league.sqlite") as file:
            assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        played = Counter(side for match in game.matches() for side in (match.first, match.second))
        assert {entry.id: entry.games for entry in game.entries()} == {e.id: played[e.id] for e in game.entries()}
    assert 0 < len(game.matches()) < total
    assert forking.call(main, [*words, str(total - len(game.matches()))]) == 0
    with League.create(tmp_path / "other", game.plan, moves) as other:
        for move in MOVES:
            other.add_rule(move, moves)
        play(other, moves, games=len(game.matches()))
        assert results(other) == results(game), "those of a league that nobody killed"
