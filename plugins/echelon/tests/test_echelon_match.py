"""Whole matches: zone, endings and rewards by hand; mirrored, resumed, beside others, within bounds."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esper_echelon.simulation import moment
from esper_echelon.simulation.arena import ENDINGS, Arena, Step
from esper_echelon.simulation.mechs import NAMES
from esper_echelon.simulation.movement import CEILING
from esper_echelon.simulation.rewards import COMPONENTS, RewardWeights
from esper_echelon.simulation.roster import Roster
from plugins.echelon.tests.field import FOE, HEAVY, LEADER, LIGHT, MEDIUM, SCOUT, WEST, Field, damage_to

# The zone


def zoned(**weights: float) -> Field:
    """The zone is at the centre, 5 m wide."""
    field = Field(weights=RewardWeights(**weights))
    field.grounds.radius[0], field.grounds.zone[0] = 5.0, (0.0, 0.0)
    return field


@pytest.mark.parametrize(
    ("inside", "control", "own", "other"),
    [
        ((), 0, 0, 0),
        ((SCOUT,), 1, 1, 0),
        ((FOE + SCOUT, FOE + LIGHT), -1, 0, 1),
        # 85 against 20 t: a margin of 65 / 105, and 0.25 + 0.75 · 65 / 105 for the heavier side
        ((HEAVY, FOE + SCOUT), 65 / 105, 0.25 + 0.75 * 65 / 105, 0.25),
        ((SCOUT, FOE + SCOUT), 0, 0.25, 0.25),
    ],
)
def test_who_holds_the_zone(inside, control, own, other):
    field = zoned()
    for number, place in enumerate(inside):
        field.put(place, 0, 4 * (-1) ** number)
    field.put(MEDIUM, 5.1, 0)
    field.do(2)
    assert field.arena.control[0] == pytest.approx(control)
    assert field.arena.score[0] == pytest.approx([0.5 * own, 0.5 * other])
    assert [place for place in range(12) if field.of("inside", place)] == sorted(inside)


# Endings


def ending(field: Field) -> tuple[str, int]:
    return ENDINGS[field.arena.ending[0]], int(field.arena.winner()[0])


def test_thirty_seconds_in_the_zone_win():
    field = zoned()
    field.put(FOE + SCOUT, 0, 0)
    field.do(119)
    assert ending(field) == ("running", -1) and not field.arena.over[0]
    field.do()
    assert ending(field) == ("zone", 1) and field.arena.clock[0] == 120


def test_elimination_wins_whatever_the_score_is_and_one_death_ends_nothing():
    field = Field()
    field.put(FOE + MEDIUM, 0, 0)
    field.arena.score[0] = 3.0, 20.0
    field.arena.mechs.alive[0, FOE + LEADER] = False
    field.do()
    assert ending(field) == ("running", -1)
    field.arena.mechs.alive[0, FOE + MEDIUM] = False
    field.do()
    assert ending(field) == ("elimination", 0)


def test_when_both_are_gone_the_score_decides():
    field = Field()
    field.arena.score[0] = 3.0, 4.0
    field.arena.mechs.alive[0] = False
    field.do()
    assert ending(field) == ("elimination", 1)


@pytest.mark.parametrize(
    ("score", "hurt", "winner"), [((2, 1), 0, 0), ((1, 2), 0, 1), ((1, 1), 0, -1), ((1, 1), LEADER, 1), ((0, 0), 11, 0)]
)
def test_when_time_is_up_the_score_decides_and_then_points(score, hurt, winner):
    field = Field()
    field.arena.score[0], field.arena.clock[0] = score, 238
    if hurt:
        field.arena.mechs.hp[0, hurt] -= 1
    field.do()
    assert ending(field) == ("running", -1)
    field.do()
    assert ending(field) == ("time", winner) and field.arena.clock[0] == 240


def test_what_is_over_does_not_change():
    arena = fought(3, decisions=40)
    arena.over[1] = True
    before = arena.state()
    step = arena.step(driver(arena, 40))
    after = arena.state()
    for name in NAMES:
        assert before["mechs"][name][1] == after["mechs"][name][1]
    for name in ("score", "control", "clock", "ending"):
        assert before[name][1] == after[name][1]
    assert before["mechs"]["position"][0] != after["mechs"]["position"][0]
    assert not step.reward[1].any() and not (step.happenings.damage.match == 1).any()


def test_what_flies_when_a_match_ends_is_gone():
    field = Field()
    field.put(HEAVY, 0, 0)
    field.arena.clock[0] = 238
    field.do(special={HEAVY: 1.0})
    assert len(field.arena.flights) == 1
    field.do()
    assert ending(field)[0] == "time" and not len(field.arena.flights)


# Rewards


def test_rewards_of_the_zone():
    """Two are in it, uncontested: 6 · 1 / 2 each; one comes 0.6125 m nearer on a map of 100 m: 1.5 · d / 100 · 0.5²."""
    field = zoned()
    field.put(SCOUT, 0, 0)
    field.put(LIGHT, 0, 3)
    field.put(HEAVY, 20, 0, WEST)
    step = field.do(forward={HEAVY: 1.0})
    assert step.components["zone"][0, [SCOUT, LIGHT]] == pytest.approx([3, 3])
    assert step.components["approach"][0, HEAVY] == pytest.approx(1.5 * 0.6125 / 100 / 4)
    assert step.components["approach"][0, [SCOUT, LIGHT]].tolist() == [0, 0]
    assert step.reward[0, FOE:].tolist() == [0] * 6


@pytest.mark.parametrize(("x", "factor", "death"), [(20.0, 1, -1.0), (0.0, 2, -0.5), (4.0, 1, -1.0)])
def test_rewards_of_a_fight(x, factor, death):
    """A laser hits for 14 · 1.1, of which it takes the 10 there are; a painter assists with 10 of 80 points.

    In turn they stand outside the zone, in it, and only the shooters in it.
    """
    field = zoned()
    field.put(MEDIUM, x, 0)
    field.put(FOE + LIGHT, x + 4, 0, WEST, hp=10.0)
    field.put(SCOUT, x, 4)
    field.arena.mechs.paint[0, SCOUT, FOE + LIGHT] = 9.0
    step = field.do(primary={MEDIUM: 1.0})
    parts = {name: part[0] for name, part in step.components.items()}
    assert parts["damage"][MEDIUM] == pytest.approx(0.05 * 10 * factor)
    assert parts["kill"][MEDIUM] == 10 * factor
    assert parts["assist"][SCOUT] == pytest.approx(5 * 10 / 80 * factor) and parts["assist"][MEDIUM] == 0
    assert parts["death"][FOE + LIGHT] == death


def test_hurting_the_own_team_costs():
    field = Field()
    field.put(HEAVY, 0, 0)
    field.put(FOE + HEAVY, 10, 0, WEST)
    field.put(SCOUT, 6.5, 0, hp=20.0)
    step = field.do(2, tertiary={HEAVY: 1.0})
    assert damage_to(step, SCOUT) == pytest.approx([20])
    assert step.components["friendly"][0, HEAVY] == pytest.approx(-0.05 * 20 - 10)
    assert step.components["damage"][0, HEAVY] == pytest.approx(0.05 * 50) and step.components["kill"][0, HEAVY] == 0


def test_winning_pays_what_it_is_said_to():
    field = zoned(win=7.0)
    field.put(SCOUT, 0, 0)
    assert not field.do(119).components["win"].any()
    step = field.do()
    assert step.components["win"][0].tolist() == [7, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, -7]


# Matches


def driver(arena: Arena, decision: int, shy: int = 0) -> np.ndarray:
    """To the zone, and at the nearest enemy, firing while it is cool; one team keeps its distance. Without chance."""
    mechs, allied = arena.mechs, arena.roster.allied
    apart = mechs.position[:, None] - mechs.position[:, :, None]
    square = (apart**2).sum(-1) + 1e9 * (allied | ~mechs.alive[:, None, :])
    nearest = square.argmin(-1)
    aim = np.take_along_axis(apart, nearest[..., None, None], 2)[:, :, 0]
    close = square.min(-1)
    aim = np.where((close < 400)[..., None], aim, -mechs.position)
    hx, hy = mechs.heading[..., 0], mechs.heading[..., 1]
    cross, dot = hx * aim[..., 1] - hy * aim[..., 0], hx * aim[..., 0] + hy * aim[..., 1]
    length = np.sqrt(aim[..., 0] ** 2 + aim[..., 1] ** 2) + 1e-9
    actions = np.full((*close.shape, 9), -1.0)
    actions[..., 0] = np.where(dot > 0, 1.0, 0.2) * (close > 16)
    actions[..., 1] = 0.4 * (np.arange(close.shape[1]) % 3 - 1)
    actions[..., 2] = (decision % 7 < 2) * 1.0
    actions[..., 3] = np.clip(4 * cross / length, -1, 1)
    cool = mechs.heat < 0.7 * mechs.capacity
    actions[..., [4, 6, 7]] = np.where(cool, 1.0, -1.0)[..., None]
    actions[..., 5] = (decision % 2) * 1.0
    actions[..., 8] = -1.0 + 2.0 * (decision % 37 == 5)
    actions[..., 0] = np.where((arena.roster.team == shy) & (close < 36), -0.5, actions[..., 0])
    return actions


def begun(seeds: list[int], packs: int = 1, sides: list[int] | None = None) -> Arena:
    arena = Arena(Roster(packs), len(seeds))
    for match, seed in enumerate(seeds):
        arena.begin(match, seed, 30 + seed % 3 * 5, 1 + seed % packs, (sides or [0] * len(seeds))[match])
    return arena


def fought(matches: int, decisions: int, packs: int = 1) -> Arena:
    arena = begun(list(range(matches)), packs)
    for decision in range(decisions):
        arena.step(driver(arena, decision))
    return arena


ODD = ("position", "velocity", "heading", "struck")


def test_twenty_matches_seen_from_the_other_side_are_the_same_to_the_last_bit(monkeypatch):
    """The other corner for both teams, and the same driving: every sign in the plane changes, and nothing else.

    Luck belongs to corners; here it goes with the teams.
    """
    whole = moment.uniform
    monkeypatch.setattr(moment, "uniform", lambda seeds, clock, side, *more: whole(seeds, clock, 0 * side, *more))
    seeds = list(range(20))
    arena, other = begun(seeds), begun(seeds, sides=[1] * 20)
    for decision in range(240):
        if arena.over.all():
            break
        step, mirrored = arena.step(driver(arena, decision)), other.step(driver(other, decision))
        assert np.array_equal(step.reward, mirrored.reward)
    for name in NAMES:
        sign = -1 if name in ODD else 1
        assert np.array_equal(getattr(arena.mechs, name), sign * getattr(other.mechs, name)), name
    assert np.array_equal(arena.score, other.score)
    assert np.array_equal(arena.winner(), other.winner())
    assert arena.over.all() and len(set(arena.winner().tolist())) > 1 and not len(arena.flights)


def test_twenty_matches_with_exchanged_teams_have_the_other_winner():
    """The drivers and the corners are exchanged: nothing but the names of the teams differs, to the last bit."""
    seeds = list(range(20))
    arena, other = begun(seeds), begun(seeds, sides=[1] * 20)
    exchanged = np.concatenate((np.arange(6, 12), np.arange(6)))
    deaths = 0
    for decision in range(240):
        if arena.over.all():
            break
        step, mirrored = arena.step(driver(arena, decision, 1)), other.step(driver(other, decision, 0))
        assert np.array_equal(step.reward, mirrored.reward[:, exchanged])
        deaths += len(step.happenings.deaths.match)
    for name in NAMES:
        theirs = getattr(other.mechs, name)[:, exchanged]
        theirs = theirs[..., exchanged] if name == "paint" else theirs
        assert np.array_equal(getattr(arena.mechs, name), theirs), name
    assert np.array_equal(arena.score, other.score[:, ::-1])
    winner = other.winner()
    assert np.array_equal(arena.winner(), np.where(winner < 0, -1, 1 - winner)) and (winner >= 0).sum() > 10
    assert deaths > 60


@pytest.mark.parametrize("packs", [1, 2])
def test_a_match_is_the_same_alone_and_among_others(packs):
    many = begun([5, 6, 7, 8], packs)
    alone = begun([7], packs)
    for decision in range(120):
        many.step(driver(many, decision)), alone.step(driver(alone, decision))
    for name in NAMES:
        assert np.array_equal(getattr(many.mechs, name)[2], getattr(alone.mechs, name)[0]), name
    assert np.array_equal(many.score[2], alone.score[0])


def test_a_match_of_one_pack_is_the_same_where_there_are_places_for_two():
    small, large = Arena(Roster(1), 1), Arena(Roster(2), 1)
    large.begin(0, 4, 35, 1, 0)
    small.begin(0, 4, 35, 1, 0)
    places = np.concatenate((np.arange(6), 13 + np.arange(6)))
    for place in ("position", "heading"):  # formations leave more to chance where there are more places
        getattr(large.mechs, place)[0, places] = getattr(small.mechs, place)[0]
    large.grounds.heights[0], large.grounds.kinds[0] = small.grounds.heights[0], small.grounds.kinds[0]
    large.grounds.radius[0] = small.grounds.radius[0]
    for decision in range(80):
        actions = np.zeros((1, 26, 9))
        actions[:, places] = driver(small, decision)
        large.step(actions), small.step(actions[:, places])
    assert np.array_equal(large.mechs.hp[0, places], small.mechs.hp[0]) and small.mechs.hp.min() < 60


def test_a_match_goes_on_exactly_where_its_state_was_taken():
    arena = fought(4, decisions=45, packs=2)
    state = json.loads(json.dumps(arena.state()))
    assert len(arena.flights) and arena.clouds.left.max() > 0 and arena.mechs.paint.any()
    resumed = Arena(Roster(2), 4)
    resumed.load_state(state)
    for decision in range(45, 90):
        first, second = arena.step(driver(arena, decision)), resumed.step(driver(resumed, decision))
        assert np.array_equal(first.reward, second.reward)
    assert json.dumps(resumed.state()) == json.dumps(arena.state())


def test_a_match_that_begins_anew_knows_nothing_of_the_last_one():
    arena, fresh = fought(2, decisions=45), Arena(Roster(1), 2)
    assert (arena.flights.match == 0).any() and arena.clouds.left[0].any()
    for made in (arena, fresh):
        made.begin(0, 11, 30, 1, 1)
    assert not (arena.flights.match == 0).any() and not arena.clouds.left[0].any()
    for decision in range(40):
        for made in (arena, fresh):
            made.step(driver(made, decision))
    for name in NAMES:
        assert np.array_equal(getattr(arena.mechs, name)[0], getattr(fresh.mechs, name)[0]), name
    assert arena.score[0].tolist() == fresh.score[0].tolist() and arena.clock[0] == 40


def test_an_arena_that_was_not_begun_is_over_and_resumes_as_that():
    arena = Arena(Roster(1), 2)
    arena.begin(0, 3, 30, 1, 0)
    step = arena.step(np.ones((2, 12, 9)))
    assert arena.over.tolist() == [False, True] and not step.reward[1].any()
    resumed = Arena(Roster(1), 2)
    resumed.load_state(arena.state())
    assert resumed.state() == arena.state()


# Bad input


def test_numbers_that_are_not_finite_count_as_zero_and_others_are_clipped():
    first, second = begun([1]), begun([1])
    actions = np.full((1, 12, 9), 0.5)
    actions[0, 0, :3], actions[0, 1, 0] = (np.nan, np.inf, -np.inf), 7.0
    clean = actions.copy()
    clean[0, 0, :3], clean[0, 1, 0] = 0.0, 1.0
    assert first.step(actions).bad_actions == 3 and second.step(clean).bad_actions == 0
    assert first.state() == second.state()


@pytest.mark.parametrize(
    ("shape", "message"), [((1, 12, 8), r"\[1, 12, 8\].*12, 9"), ((1, 11, 9), "12, 9"), ((2, 12, 9), "2 .*1")]
)
def test_actions_of_another_shape_are_refused(shape, message):
    with pytest.raises(ValueError, match=message):
        begun([1]).step(np.zeros(shape))


@pytest.mark.parametrize(("packs", "side", "message"), [(2, 0, "2 packs"), (0, 0, "0 packs"), (1, 2, "side 2")])
def test_matches_that_cannot_be_are_refused(packs, side, message):
    with pytest.raises(ValueError, match=message):
        Arena(Roster(1), 1).begin(0, 1, 30, packs, side)


# What always holds


def check(arena: Arena, step: Step, before: dict[str, np.ndarray]) -> None:
    mechs, bodies = arena.mechs, arena._bodies
    half = arena.grounds.size[:, None, None] / 2
    assert (np.abs(mechs.position) <= half).all() and (mechs.altitude >= 0).all() and (mechs.altitude <= CEILING).all()
    assert (mechs.hp >= 0).all() and (mechs.hp <= bodies.hp).all() and (mechs.leg_hp >= 0).all()
    assert (mechs.heat >= 0).all() and np.isfinite(mechs.heat).all()
    assert (mechs.stability >= 0).all() and (mechs.stability <= 100).all()
    for timer, most in (
        ("fallen", 3),
        ("suppressed", 1.2),
        ("hurried", 0.25),
        ("ams", 1),
        ("paint", 5),
        ("cooldown", 5),
    ):
        assert (getattr(mechs, timer) >= 0).all() and (getattr(mechs, timer) <= most).all()
    flights = arena.flights
    assert (np.abs(flights.position[:, :2]) <= arena.grounds.size[flights.match, None] / 2).all()
    present = mechs.present[..., None]
    np.testing.assert_allclose((mechs.heading**2).sum(-1), 1, rtol=1e-12)
    assert (np.abs(mechs.velocity) <= 7.0 * present).all()
    assert not ((mechs.hunted | mechs.inside | mechs.ecm | mechs.eccm) & ~mechs.alive).any()
    assert not (mechs.alive & (mechs.hp <= 0)).any() and not (mechs.alive & ~before["alive"]).any()
    dead = ~before["alive"]
    for name in ("position", "heading", "hp", "heat"):
        assert np.array_equal(getattr(mechs, name)[dead], before[name][dead])
    damage = step.happenings.damage
    taken = np.zeros_like(mechs.hp)
    np.add.at(taken, (damage.match, damage.target), damage.amount)
    np.testing.assert_allclose(taken, before["hp"] - mechs.hp, atol=1e-9)
    assert before["alive"][damage.match, damage.target].all()
    deaths = step.happenings.deaths
    died = sorted(zip(deaths.match.tolist(), deaths.target.tolist(), strict=True))
    assert died == [tuple(at) for at in np.argwhere(before["alive"] & ~mechs.alive).tolist()]
    assert tuple(step.components) == COMPONENTS
    np.testing.assert_allclose(sum(step.components.values()), step.reward)
    assert not step.reward[~mechs.present].any() and (arena.score >= 0).all() and (arena.score <= 30.25).all()


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**63), st.integers(1, 2), st.integers(26, 40), st.floats(0, 1))
def test_whatever_is_done_the_world_stays_in_order(seed, packs, size, boldness):
    draws = np.random.default_rng(seed)
    arena = Arena(Roster(2), 2, largest=40)
    for match in range(2):
        arena.begin(match, seed + match, size, packs, match)
    # Everybody stands in the middle of everybody, so that much happens.
    arena.mechs.position *= 0.25
    for _ in range(20):
        before = {name: getattr(arena.mechs, name).copy() for name in NAMES}
        actions = draws.uniform(-1, 1, (2, 26, 9)) * 1.5
        actions[..., 4:] += boldness
        check(arena, arena.step(actions), before)
