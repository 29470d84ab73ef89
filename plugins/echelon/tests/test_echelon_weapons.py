"""Every weapon and every rule of damage, with the numbers of the tables worked out by hand."""

from __future__ import annotations

from math import cos, radians, sin

import numpy as np
import pytest

from esper_echelon.simulation.noise import Purpose
from esper_echelon.simulation.tables import TIMERS
from plugins.echelon.tests.field import (
    BUTTONS,
    EAST,
    FOE,
    HEAVY,
    LIGHT,
    MEDIUM,
    SCOUT,
    SCOUT_TOO,
    TARGET,
    WEST,
    Field,
    damage_to,
    duel,
)
from plugins.echelon.tests.field import chance as chance


def fired(field: Field, shooter: int, button: str) -> bool:
    """Whether a shot leaves in a decision: firing costs heat that nothing else costs here."""
    field.arena.mechs.heat[0, shooter] = 0.0
    field.do(**{button: {shooter: 1.0}})
    return field.of("heat", shooter) > 0


@pytest.mark.parametrize(
    ("weapon", "damage", "stability", "heat", "cooldown", "target_heat", "suppressed"),
    [
        ("laser", 14, 0, 22, 0.6, 6, 0),
        ("flamer", 4, 0, 10, 0.15, 15, 0),
        ("missile", 40, 15, 45, 3.0, 0, 0),
        ("gauss", 50, 60, 15, 4.0, 0, 0),
        ("autocannon", 8, 5, 6, 0.2, 0, 1.2),
        ("painter", 0, 0, 5, 1.0, 0, 0),
        ("smoke", 0, 0, 10, 5.0, 0, 0),
    ],
)
def test_what_a_shot_costs_and_does(weapon, damage, stability, heat, cooldown, target_heat, suppressed):
    """One shot in the last step of a decision, beside the same without it."""
    timer = TIMERS.index(
        {"laser": "laser", "missile": "missile", "smoke": "missile", "painter": "painter"}.get(weapon, "kinetic")
    )
    fields = []
    for pressed in (1.0, 0.0):
        field, shooter, button = duel(weapon, 4.0, heat=40.0, cooldown=0.25)
        field.arena.mechs.heat[0, TARGET], field.arena.mechs.stability[0, TARGET] = 60.0, 80.0
        field.do(**{button: {shooter: pressed}})
        fields.append(field)
    shot, none = fields
    assert shot.of("heat", shooter) - none.of("heat", shooter) == pytest.approx(heat)
    assert shot.of("cooldown", shooter)[timer] == cooldown and none.of("cooldown", shooter)[timer] == 0
    assert shot.of("targeted", TARGET) == (weapon != "smoke") and not none.of("targeted", TARGET)
    while len(shot.arena.flights):
        shot.do(), none.do()
        if shot.of("suppressed", TARGET):
            break
    assert none.of("hp", TARGET) - shot.of("hp", TARGET) == pytest.approx(damage)
    assert none.of("stability", TARGET) - shot.of("stability", TARGET) == pytest.approx(
        stability, abs=1.2 * bool(suppressed)
    )
    assert shot.of("heat", TARGET) - none.of("heat", TARGET) == pytest.approx(target_heat)
    # Shot down to 1.2 s at the step in which it was hit, of which there are at most four more in that decision.
    assert suppressed - 0.2 <= shot.of("suppressed", TARGET) <= suppressed


@pytest.mark.parametrize(("weapon", "shots"), [("laser", 2), ("flamer", 7), ("autocannon", 5), ("painter", 1)])
def test_cooldown_lets_a_weapon_fire_again_in_time(weapon, shots):
    """In one second: twenty steps of the simulation, a shot in the first and then every 12, 3, 4, 20."""
    field, shooter, button = duel(weapon, 4.0)
    count = 0
    for _ in range(4):
        field.arena.mechs.heat[0] = 0.0
        step = field.do(**{button: {shooter: 1.0}})
        count += len(damage_to(step, TARGET)) + (weapon == "painter" and field.of("paint", shooter)[TARGET] >= 4.79)
    count += sum(field.arena.flights.weapon == 4)
    assert count == shots


@pytest.mark.parametrize(
    ("weapon", "reach"),
    [("laser", 8), ("flamer", 4.5), ("missile", 12), ("gauss", 20), ("autocannon", 12), ("painter", 10)],
)
def test_range(weapon, reach):
    assert fired(*duel(weapon, reach - 0.001))
    assert not fired(*duel(weapon, reach + 0.001, suppressed=0))


@pytest.mark.parametrize(
    ("weapon", "degrees"),
    [("laser", 60), ("flamer", 45), ("missile", 90), ("gauss", 5.729), ("autocannon", 5.729), ("painter", 30)],
)
def test_arc(weapon, degrees):
    for side in (1, -1):
        assert fired(*duel(weapon, 4.0, side * (degrees - 0.1)))
        assert not fired(*duel(weapon, 4.0, side * (degrees + 0.1)))


def test_everything_but_smoke_and_locked_missiles_needs_sight():
    for weapon in BUTTONS:
        field, shooter, button = duel(weapon, 4.4)
        field.wall(2.5, 0.5, height=6, width=3)
        field.wall(2.5, -0.5, height=6, width=3)
        assert fired(field, shooter, button) == (weapon == "smoke")
    field, shooter, button = duel("laser", 4.4)
    field.arena.clouds.add(np.zeros(1, np.int64), np.array([[2.0, 3.0]]))
    assert not fired(field, shooter, button)


def test_a_lock_carries_a_missile_fifty_metres_without_sight():
    def locked(distance=49.0, painter=SCOUT, sensors=False) -> bool:
        field, shooter, button = duel("missile", distance - 10)
        field.arena.mechs.position[0, shooter, 0] = -10
        if painter != HEAVY:
            field.put(painter, -20, 20)
        field.arena.mechs.paint[0, painter, TARGET] = 9.0
        field.wall(2.5, 0.5, height=6, width=3)
        if sensors:  # an enemy who jams at 22 m: 1 − 0.85 · (1 − 22 / 50) = 0.52
            field.put(FOE + SCOUT, 0, -20)
            return fired_while_jammed(field)
        return fired(field, shooter, button)

    def fired_while_jammed(field: Field) -> bool:
        field.do(secondary={FOE + SCOUT: 0.3, HEAVY: 1.0})
        return bool((field.arena.flights.weapon == 2).any())

    assert locked() and locked(painter=HEAVY) and not locked(50.5)
    assert not locked(painter=FOE + LIGHT), "the enemy's paint is no lock"
    assert not locked(sensors=True)


def test_paint_is_shared_within_the_pack_and_with_the_squad_leader():
    heavy, scouts, leader, target = 4, (0, 6), 12, 13 + 3
    for painter, locks in ((scouts[0], True), (scouts[1], False), (leader, True)):
        field = Field(packs=2)
        field.put(heavy, 0, 0)
        field.put(target, 30, 0, WEST)
        field.put(painter, -20, 20)
        field.arena.mechs.paint[0, painter, target] = 9.0
        assert fired(field, heavy, "secondary") == locks


def test_the_nearest_enemy_that_can_be_hit_is_the_target():
    field, shooter, button = duel("laser", 6.0)
    field.put(FOE + LIGHT, 5.0, 0.5, WEST)
    field.put(FOE + SCOUT, -2.0, 0, WEST)  # behind
    step = field.do(**{button: {shooter: 1.0}})
    assert set(step.happenings.damage.target) == {FOE + LIGHT}


def test_who_lies_fires_all_but_kinetics():
    for weapon in BUTTONS:
        field, shooter, button = duel(weapon, 4.0, fallen=3.0)
        field.do(**{button: {shooter: 1.0}})
        cooldown = field.of("cooldown", shooter)
        assert cooldown[TIMERS.index("kinetic")] == 0
        assert (max(cooldown) > 0) == (weapon not in ("flamer", "gauss"))


def test_a_heavy_that_wants_to_fire_missile_and_smoke_fires_the_missile():
    field, shooter, _ = duel("missile", 4.0)
    field.do(secondary={shooter: 1.0}, special={shooter: 1.0})
    assert field.of("cooldown", shooter)[1] == pytest.approx(3.0 - 0.2)


# Damage


@pytest.mark.parametrize(("degrees", "expected"), [(180, 14), (46, 14), (44, 21), (0, 21), (-44, 21), (-46, 14)])
def test_a_hit_from_behind_takes_half_as_much_again(degrees, expected):
    field, shooter, button = duel("laser", 4.0, facing=(cos(radians(degrees)), sin(radians(degrees))))
    assert damage_to(field.do(**{button: {shooter: 1.0}}), TARGET) == pytest.approx([expected])


@pytest.mark.parametrize(("drawn", "legs"), [(0.099, True), (0.101, False)])
def test_a_tenth_of_all_beams_hit_the_legs(chance, drawn, legs):
    """At 0.25 + 0.5 · u of the height, legs are below 0.3: all of it to the legs, half of it to the body."""
    chance[Purpose.LASER_HEIGHT] = drawn
    field, shooter, button = duel("laser", 4.0)
    step = field.do(**{button: {shooter: 1.0}})
    assert damage_to(step, TARGET) == pytest.approx([7 if legs else 14])
    assert field.of("leg_hp", TARGET) == pytest.approx(100 - 14 * legs)


def test_paint_adds_a_tenth_and_assists_all_other_painters():
    field, shooter, button = duel("laser", 4.0, facing=EAST)
    for painter in (SCOUT, SCOUT_TOO):
        field.put(painter, -20, 20 * painter)
    field.arena.mechs.paint[0, [SCOUT, SCOUT_TOO, shooter], TARGET] = 9.0
    step = field.do(**{button: {shooter: 1.0}})
    assert damage_to(step, TARGET) == pytest.approx([14 * 1.5 * 1.1])
    assists = step.happenings.assists
    assert assists.source.tolist() == [SCOUT, SCOUT_TOO] and assists.amount == pytest.approx([23.1, 23.1])


def test_paint_lasts_five_seconds():
    field, shooter, button = duel("painter", 4.0)
    field.do(**{button: {shooter: 1.0}})
    assert field.of("paint", shooter)[TARGET] == pytest.approx(4.8)
    field.do(19)
    assert field.of("paint", shooter)[TARGET] == pytest.approx(0.05)
    field.do()
    assert field.of("paint", shooter)[TARGET] == 0


def test_what_has_no_stability_left_falls():
    field, shooter, button = duel("gauss", 4.0)
    field.arena.mechs.stability[0, TARGET] = 55.0
    field.do(**{button: {shooter: 1.0}})
    assert field.of("fallen", TARGET) > 2.8 and field.of("stability", TARGET) == 0


def test_the_struck_know_from_where():
    field, shooter, button = duel("laser", 4.0, angle=30)
    field.do(**{button: {shooter: 1.0}})
    assert field.of("struck", TARGET) == pytest.approx([cos(radians(30)), 0.5])
    assert field.of("hurried", TARGET) > 0 and field.of("targeted", TARGET)
    field.do(2)
    assert field.of("struck", TARGET) == [0, 0] and field.of("hurried", TARGET) == 0
    assert not field.of("targeted", TARGET)


def test_all_hits_of_a_step_land_at_once():
    """Two who shoot each other at once die both, and one who takes more than it has takes each by its part."""
    field = Field()
    field.put(MEDIUM, 0, 0, hp=10.0)
    field.put(FOE + MEDIUM, 6, 0, WEST, hp=10.0)
    field.put(LIGHT, 2, 0, hp=80.0)
    step = field.do(primary={MEDIUM: 1.0, FOE + MEDIUM: 1.0}, secondary={LIGHT: 1.0})
    assert damage_to(step, FOE + MEDIUM) == pytest.approx([5, 5])
    assert damage_to(step, LIGHT) == pytest.approx([14]), "the nearer one shields the other"
    field.do(primary={MEDIUM: 1.0})
    assert field.of("hp", FOE + MEDIUM) == 0 and not field.of("alive", FOE + MEDIUM)
    assert step.happenings.deaths.source.tolist() == [LIGHT], "of equal blows, that of the first place kills"
    field = Field()
    field.put(MEDIUM, 0, 0, hp=10.0)
    field.put(FOE + MEDIUM, 6, 0, WEST, hp=10.0)
    deaths = field.do(primary={MEDIUM: 1.0, FOE + MEDIUM: 1.0}).happenings.deaths
    assert (deaths.source.tolist(), deaths.target.tolist()) == ([FOE + MEDIUM, MEDIUM], [MEDIUM, FOE + MEDIUM])
    assert deaths.x == pytest.approx([0, 6])


def test_the_dead_do_nothing():
    field, shooter, button = duel("laser", 4.0)
    field.put(FOE + MEDIUM, 2, 0, WEST, hp=1.0)
    field.do(**{button: {shooter: 1.0}})
    before = field.arena.mechs.state()
    field.do(1, forward={FOE + MEDIUM: 1.0}, primary={FOE + MEDIUM: 1.0}, yaw_rate={FOE + MEDIUM: 1.0})
    for name in ("position", "heading", "velocity", "hp", "alive", "heat"):
        assert (
            np.array(before[name])[0, FOE + MEDIUM].tolist()
            == np.array(getattr(field.arena.mechs, name))[0, FOE + MEDIUM].tolist()
        )
    assert field.of("hp", shooter) == 150
