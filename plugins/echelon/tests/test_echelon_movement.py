"""Moving, heat and stability, with the numbers of the tables worked out by hand; a decision takes 0.25 s."""

from __future__ import annotations

from math import cos, sin

import numpy as np
import pytest

from esper_echelon.simulation.ground import LAVA, WATER
from esper_echelon.simulation.happenings import HAZARD
from esper_echelon.simulation.movement import CEILING
from esper_echelon.simulation.orders import rotation
from plugins.echelon.tests.field import FOE, HEAVY, LIGHT, MEDIUM, NORTH, SCOUT, SCOUT_TOO, Field, damage_to


@pytest.mark.parametrize(
    ("place", "metres"),
    # 0.98 of the largest speed for 0.25 s
    [(SCOUT, 1.715), (LIGHT, 1.666), (MEDIUM, 1.3475), (HEAVY, 0.6125)],
)
def test_speed_is_that_of_the_class_along_the_heading(place, metres):
    field = Field()
    field.put(place, 0, 0, NORTH)
    field.do(forward={place: 1.0})
    assert field.of("position", place) == pytest.approx([0, metres])
    assert field.of("velocity", place) == pytest.approx([0, metres / 0.25])


def test_throttle_is_capped_to_the_unit_disc_and_strafes_to_the_left():
    field = Field()
    field.put(SCOUT, 0, 0, NORTH)
    field.do(forward={SCOUT: 1.0}, strafe={SCOUT: 1.0})
    assert field.of("position", SCOUT) == pytest.approx([-1.715 * 0.5**0.5, 1.715 * 0.5**0.5])


def test_legged_and_water_slow_down():
    field = Field()
    field.put(SCOUT, 0, 0, leg_hp=0.0)
    field.put(SCOUT_TOO, 0, 9)
    field.flood(WATER)
    field.do(forward={SCOUT: 1.0, SCOUT_TOO: 1.0})
    assert field.of("position", SCOUT)[0] == pytest.approx(1.715 * 0.4 * 0.6)
    assert field.of("position", SCOUT_TOO)[0] == pytest.approx(1.715 * 0.6)


@pytest.mark.parametrize(("place", "angle"), [(SCOUT, 0.45), (LIGHT, 0.375), (MEDIUM, 0.25), (HEAVY, 0.15)])
def test_yaw_is_that_of_the_class(place, angle):
    field = Field()
    field.put(place, 0, 0)
    field.do(yaw_rate={place: 1.0})
    assert field.of("heading", place) == pytest.approx([cos(angle), sin(angle)])
    field.do(2, yaw_rate={place: -1.0})
    assert field.of("heading", place) == pytest.approx([cos(angle), -sin(angle)])


def test_rotation_is_as_exact_as_that_of_a_library():
    angle = np.linspace(-0.1, 0.1, 101)
    np.testing.assert_allclose(rotation(angle), (np.cos(angle), np.sin(angle)), rtol=0, atol=3e-16)


def test_jets_lift_scouts_and_lights_only():
    field = Field()
    for place in (SCOUT, LIGHT, MEDIUM):
        field.put(place, 0, 9 * place)
    field.put(SCOUT_TOO, -9, 0, leg_hp=0.0)  # half of 18 m/s² is less than gravity
    field.do(vertical=dict.fromkeys((SCOUT, SCOUT_TOO, LIGHT, MEDIUM), 1.0))
    # After k steps of 0.05 s the speed is k · a · 0.05; heights add up to 15 · a · 0.0025.
    assert field.of("altitude", SCOUT) == pytest.approx(15 * 8.19 * 0.0025)
    assert field.of("altitude", LIGHT) == pytest.approx(15 * 6.19 * 0.0025)
    assert field.of("climb", SCOUT) == pytest.approx(5 * 8.19 * 0.05)
    assert field.of("altitude", MEDIUM) == field.of("altitude", SCOUT_TOO) == 0
    field.do(20, vertical={SCOUT: 1.0})
    assert field.of("altitude", SCOUT) == CEILING
    field.do(20)
    assert field.of("altitude", SCOUT) == field.of("climb", SCOUT) == 0


def test_walls_stop_an_axis_and_steps_are_climbed():
    field = Field()
    field.put(SCOUT, 0.5, 0.5)
    field.wall(5.5, 0.5, height=2, width=9)
    field.do(8, forward={SCOUT: 1.0}, strafe={SCOUT: 0.1})
    x, y = field.of("position", SCOUT)
    assert 4.1 < x <= 4.5 and y > 1, "half a metre from the wall at 5, and along it"
    assert field.of("velocity", SCOUT)[0] == 0 < field.of("velocity", SCOUT)[1]
    field.wall(5.5, 0.5, height=1, width=9)
    field.do(1, forward={SCOUT: 1.0})
    assert 5 < field.of("position", SCOUT)[0] < 6 and field.of("altitude", SCOUT) == 1.0


def test_nothing_leaves_the_map():
    field = Field()
    field.put(SCOUT, 48, 48)
    field.do(8, forward={SCOUT: 1.0}, strafe={SCOUT: 1.0})
    assert field.of("position", SCOUT) == [49.5, 49.5]


def test_bodies_push_each_other_apart_by_their_weight_unless_one_is_above():
    field = Field()
    field.put(SCOUT, 0, 0)
    field.put(HEAVY, 2.0, 0)  # radii 0.6 and 1.75 m: 0.35 m too near
    field.put(FOE + SCOUT, 20, 0)
    field.put(FOE + HEAVY, 22, 0, altitude=10.0, climb=50.0)
    field.do()
    assert field.of("position", SCOUT)[0] == pytest.approx(-0.35 * 85 / 105, abs=1e-9)
    assert field.of("position", HEAVY)[0] == pytest.approx(2 + 0.35 * 20 / 105, abs=1e-9)
    assert field.of("position", FOE + SCOUT) == [20, 0]


# Heat


@pytest.mark.parametrize(("place", "cooled"), [(SCOUT, 3.25), (LIGHT, 3.0), (MEDIUM, 2.75), (HEAVY, 2.5)])
def test_heat_is_dissipated_by_class_and_thrice_as_fast_when_venting(place, cooled):
    field = Field()
    field.put(place, 0, 0, heat=50.0)
    field.do()
    assert field.of("heat", place) == pytest.approx(50 - cooled)
    field.do(vent={place: 1.0})
    assert field.of("heat", place) == pytest.approx(50 - 4 * cooled)
    field.do(40)
    assert field.of("heat", place) == 0


@pytest.mark.parametrize(
    ("secondary", "ecm", "eccm", "per_second"), [(0.5, True, False, 3), (0.51, False, True, 2), (0, False, False, 0)]
)
def test_a_scout_emits_with_its_secondary(secondary, ecm, eccm, per_second):
    field = Field()
    for place in (SCOUT, LIGHT):
        field.put(place, 9 * place, 0, heat=50.0)
    field.do(secondary={SCOUT: secondary, LIGHT: secondary})
    assert (field.of("ecm", SCOUT), field.of("eccm", SCOUT)) == (ecm, eccm)
    assert field.of("heat", SCOUT) == pytest.approx(50 + (per_second - 13) * 0.25)
    assert not field.of("ecm", LIGHT) and not field.of("eccm", LIGHT)


def test_water_cools_and_lava_heats_and_burns_who_stands_in_it():
    field = Field()
    field.put(HEAVY, 0, 0, heat=50.0)
    field.flood(WATER)
    field.do()
    assert field.of("heat", HEAVY) == pytest.approx(50 - (10 + 30) * 0.25)
    field = Field()
    field.put(HEAVY, 0, 0, heat=50.0)
    field.put(SCOUT, 20, 0, heat=50.0, altitude=5.0)
    field.flood(LAVA)
    step = field.do()
    assert field.of("heat", HEAVY) == pytest.approx(50 + (40 - 10) * 0.25)
    assert field.of("hp", HEAVY) == pytest.approx(200 - 5 * 0.25)
    assert damage_to(step, HEAVY).tolist() == [0.25] * 5 and set(step.happenings.damage.source) == {HAZARD}
    assert field.of("hp", SCOUT) == 60 and field.of("heat", SCOUT) == pytest.approx(50 - 3.25)


def test_beyond_its_capacity_a_mech_does_nothing_until_it_has_cooled():
    field = Field()
    field.put(SCOUT, 0, 0, heat=75.0 + 13 * 0.25 + 0.1)
    everything = {name: {SCOUT: 1.0} for name in ("forward", "yaw_rate", "vent", "vertical", "special")}
    field.do(**everything, secondary={SCOUT: 0.3})
    assert field.of("heat", SCOUT) == pytest.approx(75.1), "cooled by 13 a second, neither vented nor jammed"
    assert field.of("position", SCOUT) == [0, 0] and field.of("heading", SCOUT) == [1, 0]
    assert field.of("altitude", SCOUT) == 0 and not field.of("ecm", SCOUT) and not len(field.arena.flights)
    field.do(forward={SCOUT: 1.0})
    assert field.of("position", SCOUT)[0] > 1


# Stability


@pytest.mark.parametrize(
    ("forward", "leg_hp", "suppressed", "share"),
    [(0, 30, 0, 1.0), (1, 30, 0, 0.5), (0, 0, 0, 0.5), (0, 30, 9, 0.25), (1, 0, 0, 0.1), (1, 30, 9, 0.1)],
)
def test_stability_comes_back_at_ten_a_second_less_penalties(forward, leg_hp, suppressed, share):
    field = Field()
    field.put(SCOUT, 0, 0, stability=60.0, leg_hp=leg_hp, suppressed=suppressed, velocity=(2.0 * forward, 0.0))
    field.do(forward={SCOUT: forward})
    assert field.of("stability", SCOUT) == pytest.approx(60 + 2.5 * share)
    field.do(400)
    assert field.of("stability", SCOUT) <= 100


def test_who_lies_cannot_move_for_three_seconds_and_stands_up_at_fifty():
    field = Field()
    field.put(SCOUT, 0, 0, stability=0.0, fallen=3.0)
    field.do(11, forward={SCOUT: 1.0}, yaw_rate={SCOUT: 1.0})
    assert field.of("position", SCOUT) == [0, 0] and field.of("heading", SCOUT) == [1, 0]
    assert field.of("stability", SCOUT) == 0 and field.of("fallen", SCOUT) == pytest.approx(0.25)
    field.do()
    # It got up in the last of the five steps, and what comes back in that one is 10 · 0.05.
    assert field.of("fallen", SCOUT) == 0 and field.of("stability", SCOUT) == pytest.approx(50.5)
