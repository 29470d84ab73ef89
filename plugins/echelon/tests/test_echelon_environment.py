"""The environment: rows of matches, what ends them, what is told, and the curriculum that is applied."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from esper_core.cli.frame import ROW_LABEL
from esper_core.contracts.errors import ConfigError, UserError
from esper_echelon.matches.curriculum import CurriculumState
from esper_echelon.matches.drivers import RandomDriver, weapons
from esper_echelon.matches.environment import _row
from esper_echelon.matches.group import Standing
from esper_echelon.simulation.roster import Roster
from esper_echelon.simulation.tables import DECISIONS, PRIMARY, SECONDARY, SPECIAL, TERTIARY

Build = Callable[..., Any]


def still(environment: Any) -> dict[str, torch.Tensor]:
    return {"act": torch.zeros(environment.num_envs, 9)}


def at_random(environment: Any, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {"act": 2 * torch.rand(environment.num_envs, 9, generator=generator) - 1}


def play_out(environment: Any) -> list[dict[str, Any]]:
    """Let matches end at the next step, their time being up; return what is told."""
    environment._group._arena.clock[:] = DECISIONS - 1
    events: list[dict[str, Any]] = environment.step(still(environment))[-1]["events"]
    return events


def test_what_is_set_is_what_everybody_plays_from_the_next_reset_on(build: Build) -> None:
    environment = build("packs=2", "workers=2", envs=4)
    assert environment.get_curriculum() == CurriculumState(1.0, (40, 40), (2, 2))
    environment.set_curriculum(weapon_prob=0.3, map_size_range=(30, 50))
    environment.set_curriculum(packs_per_team_range=(1, 2))
    assert environment.get_curriculum() == CurriculumState(0.3, (30, 50), (1, 2))
    _, info = environment.reset(seed=5)
    applied = info["curriculum"]
    assert applied["weapon_prob"] == [0.3] * 4
    assert len(set(applied["map_size"])) > 1 and all(30 <= size <= 50 for size in applied["map_size"])
    assert set(applied["packs"]) == {1, 2}
    absent = info["absent"].view(4, 13)
    assert absent.sum(1).tolist() == [13 - 6 if packs == 1 else 0 for packs in applied["packs"]]
    assert environment.reset(seed=5)[1]["curriculum"] == applied
    environment.set_curriculum(weapon_prob=1.0, map_size_range=(40, 40), packs_per_team_range=(2, 2))
    state, info = environment.reset(seed=5)
    assert info["curriculum"] == {"map_size": [40] * 4, "packs": [2] * 4, "weapon_prob": [1.0] * 4}
    assert state["map_size"].tolist() == [40.0] * environment.num_envs and not info["absent"].any()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"weapon_prob": 2}, "weapon_prob"),
        ({"map_size_range": (60, 40)}, "map_size_range"),
        ({"packs_per_team_range": (1, 2)}, "packs_per_team_range reaches 2, but rows were made for 1 pack"),
    ],
)
def test_what_cannot_be_set_changes_nothing(build: Build, changes: dict[str, Any], field: str) -> None:
    environment = build()
    before = environment.get_curriculum()
    with pytest.raises(ValueError, match=field):
        environment.set_curriculum(**changes)
    assert environment.get_curriculum() == before


def test_a_schedule_is_paced_by_games_and_said_in_events(build: Build) -> None:
    environment = build('schedule=["weapon_prob=0.0..1.0@4", "map_size_range=30..40@4"]')
    applied = []
    for _ in range(3):
        applied.append(environment.reset(seed=None)[1]["curriculum"])
        told = [event for event in play_out(environment) if "won" in event]
        assert [(e["weapon_prob"], e["map_size"]) for e in told] == [
            *zip(applied[-1]["weapon_prob"], applied[-1]["map_size"], strict=True)
        ]
    assert [one["weapon_prob"] for one in applied] == [[0.0] * 2, [0.5] * 2, [1.0] * 2]
    assert environment.reset(seed=3)[1]["curriculum"]["weapon_prob"] == [0.0] * 2


def test_instances_are_played_under_the_end_of_the_schedule_and_count_as_no_games(build: Build) -> None:
    environment = build('schedule=["weapon_prob=0.0..0.8@4"]')
    held = environment.held_out(2)
    assert environment.reset(options={"instances": held})[1]["curriculum"]["weapon_prob"] == [0.8] * 2
    assert [e["instance"] for e in play_out(environment)] == [held[0]] * 7 + [held[1]] * 7
    assert environment.reset()[1]["curriculum"]["weapon_prob"] == [0.0] * 2
    arena = environment._group._arena
    assert (arena.seeds < held[0] // 2).all()
    environment.reset(options={"instances": held})
    assert arena.seeds.tolist() == [held[0] // 2] * 2 and arena.side.tolist() == [0, 1]


def test_a_mech_that_dies_ends_its_row_alone(build: Build) -> None:
    environment = build()
    environment.reset(seed=0)
    mechs = environment._group._arena.mechs
    mechs.alive[0, 2] = False
    _, _, terminated, truncated, info = environment.step(at_random(environment))
    assert terminated.nonzero().flatten().tolist() == [2] and not truncated.any()
    assert [(e["env"], e["type"], e["length"]) for e in info["events"]] == [(2, "episode", 1)]
    _, reward, terminated, *_ = environment.step(at_random(environment))
    assert reward[2] == 0 and not terminated.any()
    events = play_out(environment)
    assert [e["env"] for e in events if e["type"] == "episode"] == [0, 1, 3, 4, 5, *range(6, 12)]


def test_time_truncates_and_a_win_terminates(build: Build) -> None:
    environment = build()
    environment.reset(seed=0)
    arena = environment._group._arena
    arena.clock[0], arena.score[1, 0] = DECISIONS - 1, 100
    _, _, terminated, truncated, info = environment.step(still(environment))
    assert truncated.tolist() == [True] * 6 + [False] * 6 and terminated.tolist() == [False] * 6 + [True] * 6
    told = [event for event in info["events"] if "won" in event]
    assert [(e["ended/time"], e["ended/zone"]) for e in told] == [(True, False), (False, True)]
    assert environment.outcomes()["won"].tolist() == [0.5, 1.0]
    assert [e["won"] for e in told] == [0.5, 1.0]


def test_the_return_is_the_sum_of_its_components(build: Build) -> None:
    environment = build("opponent=charge", envs=3)
    environment.reset(seed=0)
    total = torch.zeros(environment.num_envs, dtype=torch.float64)
    for t in range(60):
        total += environment.step(at_random(environment, t))[1]
    environment._group._arena.clock[:] = DECISIONS - 1
    _, reward, *_, info = environment.step(at_random(environment))
    total += reward
    for event in info["events"]:
        if event["type"] == "episode":
            parts = sum(value for name, value in event.items() if name.startswith("reward/"))
            assert event["return"] == pytest.approx(parts) == pytest.approx(float(total[event["env"]]), abs=1e-4)
    assert any(event.get("reward/approach") for event in info["events"])


def test_weights_of_the_reward_are_options(build: Build) -> None:
    pays, does_not = build(), build("rewards={approach=0}")
    moved = []
    for environment in (pays, does_not):
        environment.reset(seed=0)
        moved.append(environment.step({"act": torch.eye(9)[0].expand(environment.num_envs, 9)})[1])
    assert moved[0].abs().sum() > 0 and not moved[1].any()
    with pytest.raises(ConfigError, match=r"has no weight 'approch'\. Did you mean 'approach'"):
        build("rewards={approch=1}")
    with pytest.raises(ConfigError, match="'win' of the reward cannot be 'much'"):
        build('rewards={win="much"}')


def test_fire_that_is_held_is_none_at_all(build: Build) -> None:
    environment = build("opponent=random", envs=40)
    environment.set_curriculum(weapon_prob=0.25)
    environment.reset(seed=0)
    group = environment._group
    group._other.act = lambda running, state: {"act": torch.ones(40 * 6, 9)}  # type: ignore[method-assign]
    actions = group._driven(~group._arena.over)
    fires = weapons(Roster(1))
    held = actions[:, :, PRIMARY] == 0
    assert 0.65 < held.mean() < 0.85, "three in four may not fire"
    assert (actions[~held] == 1).all() and (actions[held[:, :, None] & fires] == 0).all()
    shoots = [PRIMARY, TERTIARY, SPECIAL]
    assert fires[:, shoots].all() and fires[:, SECONDARY].tolist() == [False, False, True, True, True, True]
    assert (actions[:, ~fires] == 1).all(), "who may not fire still moves, vents and jams"


def test_options_choose_who_drives_the_other_team(build: Build) -> None:
    ways = {}
    for name in ("lieutenant", "hold", "charge", "random"):
        environment = build(f"opponent={name}")
        environment.reset(seed=0)
        for _ in range(40):
            environment.step(still(environment))
        ways[name] = environment._group._arena.mechs.position[:, 6:].tobytes()
    assert len(set(ways.values())) == 4


def test_matches_report_their_heat_maps_once_unless_told_not_to(build: Build) -> None:
    for options, count in (((), 2), (("heat_maps=false",), 0)):
        environment = build(*options)
        environment.reset(seed=0)
        environment.step(still(environment))
        events = play_out(environment)
        spatial = [event for event in events if event["type"] == "spatial"]
        assert len(spatial) == count
        for event in spatial:
            assert sum(value for _, _, value in event["movement"]) == 2 * 12
        assert not environment.step(still(environment))[-1]["events"]


def test_matches_against_opponents_that_were_set_are_told_of_and_others_are_not(build: Build) -> None:
    environment = build()
    environment.reset(seed=0)
    assert not [event for event in play_out(environment) if event["type"] == "match"]
    environment.set_opponents([RandomDriver()], [1])
    held = environment.held_out(2)
    environment.reset(options={"instances": held})
    assert environment.learner_side.tolist() == [0, 1] and environment.opponents == ("random",)
    environment._group._arena.score[0, 0] = 20
    told = [event for event in play_out(environment) if event["type"] == "match"]
    assert [(e["env"] // 6, e["opponent"], e["side"], e["instance"]) for e in told] == [
        (0, "random", 0, held[0]),
        (1, "random", 1, held[1]),
    ]
    assert told[0]["won"] == 1.0 and environment.outcomes()["won"].tolist() == [e["won"] for e in told]
    assert environment.opponents == ()


def test_numbers_that_are_not_finite_are_nought_and_said(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    wild, calm = build(), build()
    for environment in (wild, calm):
        environment.reset(seed=0)
    actions = at_random(wild)
    nought = {"act": actions["act"].clone()}
    actions["act"][8, 2:4], nought["act"][8, 2:4] = torch.tensor([torch.nan, torch.inf]), 0.0
    with caplog.at_level(logging.WARNING, "esper"):
        for _ in range(2):
            found, expected = wild.step(actions), calm.step(nought)
            assert torch.equal(found[0]["suite"], expected[0]["suite"]) and torch.equal(found[1], expected[1])
    assert [record.getMessage()[:46] for record in caplog.records] == ["An action of echelon is not finite: 'vertical'"]
    assert [event["bad_actions"] for event in play_out(wild) if "won" in event] == [0, 4]


def test_actions_of_another_width_are_refused(build: Build) -> None:
    environment = build()
    environment.reset(seed=0)
    with pytest.raises(ValueError, match=r"'act' is \[12, 8\], not \[12, 9\]"):
        environment.step({"act": torch.zeros(12, 8)})


def test_matches_begin_as_a_whole(build: Build) -> None:
    environment = build()
    environment.reset(seed=0)
    mask = np.zeros(12, np.bool_)
    mask[3] = True
    with pytest.raises(ValueError, match="begins parts of matches; a match has 6 rows"):
        environment.reset(options={"reset_mask": mask})
    with pytest.raises(ValueError, match="instances are"):
        environment.reset(options={"instances": [1]})
    mask[:6] = True
    with pytest.raises(ValueError, match="leave out reset_mask"):
        environment.reset(options={"instances": [1, 2], "reset_mask": mask})


def test_options_that_cannot_be_name_themselves(build: Build) -> None:
    for option, said in (
        ("packs=0", "environment.packs"),
        ("map_size_range=[1, 1]", "the side of a map is 24 to 100"),
        ("map_size_range=[60, 40]", "its first number is above its last"),
        ("packs_per_team_range=[0, 1]", "a team has 1 to 2"),
        ('schedule=["packs_per_team_range=1..2@9"]', "reaches 2, but rows were made for 1 pack a team"),
    ):
        with pytest.raises(UserError, match=said):
            build(option)


def test_the_board_shows_who_is_there(build: Build) -> None:
    environment = build("packs=2", "packs_per_team_range=[1, 1]", "workers=2")
    environment.reset(seed=0)
    board = environment.board([1, 0, 9])
    assert [(row.label, row.text) for row in board.rows] == [
        ("match 1  0 s", "0 : 0  40 m"),
        ("match 0  0 s", "0 : 0  40 m"),
    ]
    row = _row(9, Standing(DECISIONS, (30.0, 29.9), 100, [True], [True], [1.0]))
    assert max(len(row.label), len(row.text)) < ROW_LABEL
    assert [cell.state for cell in board.rows[0].cells] == ["fights"] * 6 + ["absent"] * 7
    assert board.places[-1] == "squad-leader"
