"""What flies: how, for how long, and what it does to whom it meets."""

from __future__ import annotations

from math import cos, sin

import numpy as np
import pytest

from esper_echelon.simulation.noise import Purpose
from plugins.echelon.tests.field import BUTTONS, EAST, FOE, LEADER, LIGHT, NORTH, SCOUT, SCOUT_TOO, TARGET, Field, duel
from plugins.echelon.tests.field import chance as chance


def shot_at(field: Field, button: str, shooter: int) -> dict[int, float]:
    """Let one shot fly to its end, and return the damage by target."""
    taken: dict[int, float] = {}
    pressed = 1.0
    while pressed or len(field.arena.flights):
        rows = field.do(**{button: {shooter: pressed}}).happenings.damage
        for target, amount in zip(rows.target.tolist(), rows.amount.tolist(), strict=True):
            taken[target] = taken.get(target, 0.0) + amount
        pressed = 0.0
    return taken


def let_fly(field: Field, weapon: str, start, velocity, source: int, target: int, seconds: float = 4.0) -> None:
    one = np.ones(1, np.int64)
    at, towards = np.array([start], float), np.array([velocity], float)
    position = list(BUTTONS).index(weapon) if weapon == "autocannon" else {"gauss": 3, "missile": 2}[weapon]
    field.arena.flights.add(0 * one, source * one, target * one, position * one, at, towards, seconds * np.ones(1))


@pytest.mark.parametrize(("weapon", "damage", "radius"), [("gauss", 50, 1.5), ("missile", 40, 2.5)])
def test_a_burst_hits_all_near_it_for_half_the_damage(weapon, damage, radius):
    """It bursts where it meets the body of its target, 8.25 m ahead; rear, paint and team do not count."""
    field, shooter, _ = duel(weapon, 10.0)
    near, far, friend = FOE + LIGHT, FOE + SCOUT, SCOUT
    field.put(near, 8.25, radius + 0.75 - 0.01, NORTH)  # less the radius of its body
    field.put(far, 8.25, -radius - 0.6 - 0.01)
    field.put(friend, 8.25 - radius, 0.0, EAST)
    field.put(SCOUT_TOO, 8.25, 0.0, altitude=2 + radius + 1, climb=4.0)  # it flies above it
    field.arena.mechs.paint[0, shooter, near] = 9.0
    let_fly(field, weapon, (4, 0, 2), (12, 0, 0), shooter, TARGET)
    assert shot_at(field, "vent", shooter) == pytest.approx({TARGET: damage, near: damage / 2, friend: damage / 2})
    assert field.of("stability", near) == 100


def test_a_wall_protects_from_a_burst():
    field, shooter, _ = duel("missile", 10.0)
    field.put(FOE + LIGHT, 8.25, 2.5)
    for x in (7.5, 8.5):
        field.wall(x, 1.5, height=6)
    let_fly(field, "missile", (4, 0, 2), (12, 0, 0), shooter, TARGET)
    assert shot_at(field, "vent", shooter) == {TARGET: 40}


def test_a_wall_just_before_a_target_stops_what_would_reach_both_in_one_step():
    field, shooter, _ = duel("gauss", 10.0)
    for y in (0.5, -0.5):
        field.wall(7.5, y, height=6)
    let_fly(field, "gauss", (6.9, 0, 2), (40, 0, 0), shooter, TARGET)
    assert shot_at(field, "vent", shooter) == {}


def test_a_projectile_passes_its_own_team_and_bursts_at_walls():
    field, shooter, button = duel("gauss", 10.0)
    field.put(SCOUT, 3.0, 0)
    assert shot_at(field, button, shooter) == {TARGET: 50}
    field, shooter, button = duel("gauss", 12.0)
    field.do(**{button: {shooter: 1.0}}, strafe={shooter: 0.0})
    field.wall(11.5, 0.5, height=6), field.wall(11.5, -0.5, height=6)
    field.put(TARGET, 40, 0)
    field.put(FOE + LIGHT, 10.5, 1.0)
    assert shot_at(field, "vent", shooter) == {FOE + LIGHT: 25}, "it flies 10 m in the first decision"


@pytest.mark.parametrize(("height", "legs"), [(1.19, True), (1.21, False)])
def test_the_height_of_a_hit_decides_about_legs(height, legs):
    """Below 0.3 of the four metres of a heavy."""
    field, shooter, _ = duel("autocannon", 9.0)
    let_fly(field, "autocannon", (4, 0, height), (25, 0, 0), shooter, TARGET)
    assert shot_at(field, "vent", shooter) == {TARGET: 4 if legs else 8}
    assert field.of("leg_hp", TARGET) == (92 if legs else 100)


def test_gauss_is_fired_as_much_higher_as_it_falls():
    field, shooter, button = duel("gauss", 20.0)
    assert shot_at(field, button, shooter) == {TARGET: 50}
    field, shooter, button = duel("gauss", 20.0)
    field.arena.mechs.cooldown[0, shooter] = 0.25
    field.do(**{button: {shooter: 1.0}})
    assert field.arena.flights.velocity[0] == pytest.approx([40, 0, 9.81 / 4])  # half a second up and down
    field.do()
    assert field.arena.flights.position[0] == pytest.approx([10, 0, 2 + 9.81 / 32])  # the top of the parabola


def test_a_missile_turns_four_radians_a_second():
    field, shooter, button = duel("missile", 10.0, angle=80.0)
    field.arena.mechs.cooldown[0, shooter] = 0.25
    field.do(**{button: {shooter: 1.0}})
    assert field.arena.flights.velocity[0] == pytest.approx([12, 0, 0])
    assert field.of("hunted", TARGET)
    field.do()
    angle = 1.0  # rad after 0.25 s
    assert field.arena.flights.velocity[0] == pytest.approx([12 * cos(angle), 12 * sin(angle), 0])
    assert shot_at(field, "vent", shooter) == {TARGET: 40}
    assert not field.of("hunted", TARGET)


def test_a_missile_flies_fifty_metres_and_straight_on_when_its_target_is_dead():
    field, shooter, button = duel("missile", 10.0)
    field.arena.mechs.cooldown[0, shooter] = 0.25
    field.do(**{button: {shooter: 1.0}})
    field.arena.mechs.alive[0, TARGET] = False
    field.arena.mechs.position[0, TARGET] = (10, 10)
    field.do(16)
    assert field.arena.flights.position[0] == pytest.approx([48, 0, 2])
    field.do()
    assert not len(field.arena.flights)


def test_ams_shoots_at_the_nearest_missile_once_a_second_and_hits_six_times_of_ten(chance):
    def left(drawn: float, distance: float, missiles: int = 1, friendly: bool = False, ams: float = 0.0) -> int:
        chance[Purpose.AMS] = drawn
        field = Field()
        field.put(TARGET, 20, 0, ams=ams)
        leaders = LEADER, FOE + LEADER
        for number in range(missiles):
            start = (20 + distance - 0.1 * number, 0, 2)
            let_fly(field, "missile", start, (12, 0, 0), *(leaders[::-1] if friendly else leaders), 3 + number)
        field.do()
        if len(field.arena.flights) < missiles:
            assert field.of("ams", TARGET) == pytest.approx(1.0 - 0.2)
            assert (field.arena.flights.left < 2 + missiles).all(), "the nearest one is down"
        return len(field.arena.flights)

    assert left(0.59, 5.4) == 0 and left(0.61, 5.4) == 1
    assert left(0.0, 5.6) == 1, "out of range"
    assert left(0.0, 5.4, missiles=3) == 2, "one at a time"
    assert left(0.0, 5.4, friendly=True) == 1, "a missile of the own team"
    assert left(0.0, 5.4, ams=0.1) == 1, "it waits"


def test_smoke_bursts_after_twenty_metres_or_where_it_meets_something():
    field, shooter, button = duel("smoke", 30.0, heat=0.0)
    assert shot_at(field, button, shooter) == {}
    clouds = field.arena.clouds
    assert clouds.left[0].max() > 9.5 and clouds.x[0, clouds.left[0].argmax()] == pytest.approx(20)
    field, shooter, button = duel("smoke", 10.0)
    assert shot_at(field, button, shooter) == {}
    clouds = field.arena.clouds
    assert clouds.x[0, clouds.left[0].argmax()] == pytest.approx(8.25), "at the body of a heavy"
