"""Who fits a league: by what is meant, with the table of differences where somebody does not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from attrs import evolve

from esper_core.api.player import load_player
from esper_core.contracts.errors import CheckpointMismatch, IncompatiblePlan, UserError
from esper_core.policy.drivers import PolicyDriver
from esper_core.registry.index import Index
from esper_core.runs.checkpoint import choose_checkpoint
from esper_core.runs.directory import RunDirectory
from esper_core.runs.header import read_header
from esper_league import League
from esper_league.game import LeagueMismatch
from esper_league.loading import load_driver
from esper_testing.reference.plugin import DISTRIBUTION, REFERENCES
from plugins.league.tests.conftest import MakeRun, Planned


def rows(error: LeagueMismatch) -> list[list[str]]:
    """Return the rows of the table of differences."""
    return [line.split() for line in error.message.splitlines()[2:]]


def test_options_that_no_match_depends_on_make_no_difference(arena: League, index: Index, planned: Planned) -> None:
    arena.check_plan(planned("environment.opponent=rock", envs=9, seed=4), index)
    with pytest.raises(LeagueMismatch, match="created for another game") as caught:
        arena.check_plan(planned("environment.epochs=8", "environment.opponent=rock"), index)
    assert rows(caught.value) == [["environment.epochs", "6", "8"]]
    assert caught.value.hint == "Train in what it plays: -o 'environment.epochs=6'"


def test_an_option_that_was_added_since_changes_nothing(arena: League, index: Index, planned: Planned) -> None:
    plan, game = arena.plan, arena.game
    environment = plan.component("environment")
    older = evolve(environment, config={k: v for k, v in environment.config.items() if k != "players"})
    arena.plan = evolve(plan, components=tuple(older if c is environment else c for c in plan.components))
    arena.game = evolve(game, options={k: v for k, v in game.options.items() if k != "players"})
    arena.check_plan(planned(), index)
    with pytest.raises(LeagueMismatch) as caught:
        arena.check_plan(planned("environment.players=1"), index)
    assert rows(caught.value) == [["environment.players", "2", "1"]]


def test_what_is_installed_must_play_what_the_league_was_created_for(arena: League, index: Index) -> None:
    arena.game = evolve(arena.game, slots=("r0c0",), actions="0123", sides=("left", "right"))
    with pytest.raises(LeagueMismatch, match="What is installed plays another game") as caught:
        arena.add_rule("random", index)
    assert [row[:2] for row in rows(caught.value)] == [["slots", "r0c0"], ["actions", "0123"], ["sides", "left,"]]
    assert "esper-reference 0" in caught.value.hint


def test_a_run_of_another_game_is_refused(arena: League, index: Index, make_run: MakeRun) -> None:
    elsewhere = make_run("environment.epochs=8")
    with pytest.raises(LeagueMismatch, match="trained for another game") as caught:
        arena.add_run(elsewhere, index)
    assert rows(caught.value) == [["environment.epochs", "6", "8"]] and "--elsewhere" in caught.value.hint
    assert arena.entries() == []
    assert arena.add_run(elsewhere, index, elsewhere=True).is_new
    more = arena.add_run(make_run(slots="3"), index).entry
    assert arena.broken(more, index) == "", "no match has to do with slots"
    lamps = make_run(uses={**REFERENCES, "environment": f"{DISTRIBUTION}:lamps", "masks": f"{DISTRIBUTION}:lamps"})
    with pytest.raises(LeagueMismatch) as caught:
        arena.add_run(lamps, index, elsewhere=True)
    assert [row[0] for row in rows(caught.value)] == ["environment", "actions"]


def test_a_league_needs_two_sides_and_rules_that_can_see(
    arena: League, index: Index, planned: Planned, tmp_path: Path
) -> None:
    lamps = planned(uses={**REFERENCES, "environment": f"{DISTRIBUTION}:lamps", "masks": f"{DISTRIBUTION}:lamps"})
    with pytest.raises(IncompatiblePlan, match=r"'lamps' .* does not have two sides") as caught:
        League.create(tmp_path / "other", lamps, index)
    assert caught.value.hint == "Environments here that have: duel." and not (tmp_path / "other").exists()
    with pytest.raises(UserError, match=r"No rule named 'randon'. Did you mean 'random'"):
        arena.add_rule("randon", index)


def test_an_entry_plays_without_its_run_and_is_broken_without_its_weights(
    arena: League, index: Index, run: RunDirectory, tmp_path: Path
) -> None:
    copy = RunDirectory.open(shutil.copytree(run.path, tmp_path / run.name))
    entry = arena.add_run(copy, index).entry
    shutil.rmtree(copy.path)
    assert arena.broken(entry, index) == ""
    driver, player = load_driver(arena, entry, index), load_player(read_header(choose_checkpoint(run, "last")), index)
    assert driver.name == entry.id and isinstance(driver, PolicyDriver)
    driver.deterministic = True
    draw = torch.Generator().manual_seed(1)
    state = {name: torch.rand(4, generator=draw) for name in ("round", "lead")}
    state |= {name: torch.randint(3, (4,), generator=draw) for name in ("mine", "theirs")}
    player.reset(4)
    acted, _ = driver(state, driver.initial_memory(2), torch.ones(4).bool(), torch.zeros(4, 1).double())
    assert acted["move"].tolist() == player.act(state, deterministic=True)["move"].tolist()
    file = arena.weights(entry) / "policy.safetensors"
    content = file.read_bytes()
    file.write_bytes(content[:-1] + b"\x00")
    assert "policy.safetensors is damaged" in arena.broken(entry, index)
    with pytest.raises(CheckpointMismatch, match="is damaged"):
        load_driver(arena, entry, index)
    assert not arena.add_run(run, index).is_new and arena.broken(entry, index) == "", "adding it again repairs it"
    assert file.read_bytes() == content
