"""Every number of the observation, by hand; contact tables against the rule spelled out; mirrored matches."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from esper_echelon.matches.describe import FARTHEST
from esper_echelon.perception.layout import (
    COLUMNS,
    CONTACT,
    CONTACT_MASK_AT,
    CONTACTS_AT,
    FLAT_OBS_DIM,
    SQUAD_AT,
    SQUAD_MASK_AT,
)
from esper_echelon.perception.observation import observe
from esper_echelon.simulation.arena import Arena
from esper_echelon.simulation.movement import CEILING
from esper_echelon.simulation.roster import Roster
from esper_echelon.simulation.tables import SUITES, VERTICAL

SCOUT, LIGHT, MEDIUM, HEAVY, LEADER = 0, 2, 3, 4, 5
ENEMY = 6
AT = {name: column for column, name in enumerate(COLUMNS)}


def arena(matches: int = 1, packs: int = 1, visibility: str = "full", size: int = 40) -> Arena:
    made = Arena(Roster(packs), matches, visibility=visibility)
    for match in range(matches):
        made.begin(match, match, size, packs, 0)
    return made


def block(seen: NDArray[np.float32], prefix: str) -> dict[str, float]:
    return {name.removeprefix(prefix): float(seen[at]) for name, at in AT.items() if name.startswith(prefix)}


def expect(seen: NDArray[np.float32], prefix: str, expected: Mapping[str, float]) -> None:
    """All columns that begin so have these values, and those that are not named are 0."""
    names = block(seen, prefix)
    assert not expected.keys() - names.keys()
    assert names == pytest.approx({name: expected.get(name, 0) for name in names}, abs=1e-6)


def test_a_contact() -> None:
    made = arena(size=60)
    mechs, target = made.mechs, ENEMY + HEAVY
    mechs.alive[0] = False
    mechs.alive[0, [MEDIUM, target]] = True
    mechs.position[0, MEDIUM], mechs.position[0, target] = (1, 2), (13, -7)  # 15 m apart: (12, −9)
    mechs.altitude[0, target] = 2.0
    mechs.velocity[0, MEDIUM], mechs.velocity[0, target] = (3, 0), (0, 2)
    mechs.climb[0, target] = 1.0
    mechs.heading[0, target] = (0.6, -0.8)
    mechs.hp[0, target], mechs.heat[0, target], mechs.stability[0, target] = 50, 195, 25
    mechs.fallen[0, target], mechs.leg_hp[0, target] = 1.0, 0
    mechs.paint[0, SCOUT, target] = 1.0
    apart = np.sqrt(229)
    tangent = (1600 - np.sqrt(1600**2 - 9.81 * (9.81 * 225 + 2 * 2 * 1600))) / (9.81 * 15)
    expected = {
        "x": 0.2, "y": -0.15, "z": 2 / 60, "velocity_x": -0.3, "velocity_y": 0.2, "velocity_z": 0.1,
        "sin_yaw": -0.8, "cos_yaw": 0.6, "hp": 0.25, "heat": 1.5, "stability": 0.25, "fallen": 1, "legged": 1,
        "hostile": 1, "is_heavy": 1, "painted": 1, "visible": 1,
        "lead_pitch": np.arctan(tangent) / (np.pi / 4),
        "closing": (36 + 18 - 2) / apart / 10,
        "crossing": 1 - 16 / (apart * np.sqrt(5)),
    }  # fmt: skip
    seen = observe(made)[0, MEDIUM]
    expect(seen, "contacts.0.", expected)
    assert seen[CONTACT_MASK_AT].tolist() == [0] + [1] * 19
    assert not seen[CONTACTS_AT][len(CONTACT) :].any()
    assert np.sin(2 * np.arctan(tangent)) > 0.09, "and the shot arrives: 40 m/s carry it 15 m, and 2 m up"
    time = 15 / (40 * np.cos(np.arctan(tangent)))
    assert 40 * np.sin(np.arctan(tangent)) * time - 9.81 / 2 * time**2 == pytest.approx(2)


def test_numbers_of_contacts_stay_in_bounds() -> None:
    made = arena()
    mechs = made.mechs
    mechs.position[0] = 0, 0
    mechs.position[0, ENEMY:, 0] = np.linspace(0, 1000, 6)
    mechs.heat[0] = 1e4
    mechs.velocity[0, ENEMY:, 0] = 100
    seen = observe(made)[0, MEDIUM]
    assert np.isfinite(seen).all()
    rows = seen[CONTACTS_AT].reshape(20, -1)[:8]
    for name, low, high in (("heat", 2, 2), ("lead_pitch", 0, 1), ("closing", -1, 0), ("crossing", 0, 0)):
        values = rows[:, CONTACT.index(name)]
        assert low <= values.min() <= values.max() <= high, name


def test_who_falls_and_sees_another_rise_stays_in_bounds() -> None:
    made = arena()
    made.mechs.altitude[0, SCOUT] = CEILING
    rising = np.zeros((1, 12, 9))
    rising[0, ENEMY + SCOUT, VERTICAL] = 1
    for _ in range(7):
        made.step(rising)
        assert np.abs(observe(made)).max() <= FARTHEST
    apart = made.mechs.climb[0, ENEMY + SCOUT] - made.mechs.climb[0, SCOUT]
    assert apart == pytest.approx(18 * 1.75) and apart / 10 > FARTHEST


def spelled_out(made: Arena, sees: NDArray[np.bool_], viewer: int) -> list[int]:
    """Who is in a contact table: friends 3 and enemies 1 reserved, the rest to enemies, then to friends."""
    roster, position = made.roster, made.mechs.position[0]
    away = [float(((position[other] - position[viewer]) ** 2).sum()) for other in range(len(roster.team))]
    by_distance = sorted(np.flatnonzero(sees[viewer]).tolist(), key=lambda other: away[other])
    friends = [other for other in by_distance if roster.team[other] == roster.team[viewer]]
    enemies = [other for other in by_distance if roster.team[other] != roster.team[viewer]]
    table = friends[:3] + enemies[:1] + enemies[1:] + friends[3:]
    return table[: SUITES[roster.suite[viewer]].contacts]


@pytest.mark.parametrize("packs", [1, 2])
def test_contact_tables_keep_reserved_rows_and_the_suite_limits_them(packs: int) -> None:
    draws = np.random.default_rng(packs)
    counts = set()
    for _ in range(40):
        made = arena(packs=packs)
        places = made.mechs.alive.shape[1]
        made.mechs.position[0] = draws.uniform(-20, 20, (places, 2))
        sees = (draws.random((1, places, places)) < draws.uniform(0.2, 1)) & ~np.eye(places, dtype=bool)
        seen = observe(made, sees)[0]
        tables, masks = seen[:, CONTACTS_AT].reshape(places, 20, -1), seen[:, CONTACT_MASK_AT]
        for viewer in range(places):
            expected = spelled_out(made, sees[0], viewer)
            away = (made.mechs.position[0, expected] - made.mechs.position[0, viewer]) / 40
            np.testing.assert_allclose(tables[viewer, : len(expected), :2], away, atol=1e-6)
            assert masks[viewer].tolist() == [0] * len(expected) + [1] * (20 - len(expected))
            hostile = made.roster.team[expected] != made.roster.team[viewer]
            assert np.array_equal(tables[viewer, : len(expected), CONTACT.index("hostile")], hostile)
            assert np.array_equal(tables[viewer, : len(expected), CONTACT.index("friendly")], ~hostile)
            counts.add(len(expected))
    assert {5, 8} <= counts <= set(range(21))


def test_a_heavy_sees_three_friends_and_two_enemies() -> None:
    friendly = observe(arena())[0, HEAVY][CONTACTS_AT].reshape(20, -1)[:, CONTACT.index("friendly")]
    assert friendly[:6].tolist() == [1, 1, 1, 0, 0, 0]


def test_ego() -> None:
    made = arena(2)
    mechs, me = made.mechs, ENEMY + LIGHT
    made.clock[1], made.score[1], made.control[1] = 60, (15, 45), 0.4
    made.grounds.radius[1] = 8
    mechs.position[1, me], mechs.velocity[1, me], mechs.climb[1, me] = (-10, 4), (3, -4), -2
    mechs.heading[1, me] = (0, -1)
    mechs.hp[1, me], mechs.leg_hp[1, me], mechs.heat[1, me], mechs.stability[1, me] = 20, 10, 60, 40
    mechs.cooldown[1, me] = (0.3, 4.5, 1.0, 0.25)
    mechs.struck[1, me], mechs.hurried[1, me], mechs.suppressed[1, me] = (0.6, 0.8), 0.05, 1.2
    for flag in (mechs.targeted, mechs.hunted, mechs.inside):
        flag[1, me] = True
    mechs.paint[1, SCOUT, me] = 0.5
    expected = {
        "hp": 0.25, "leg_hp": 0.25, "heat": 0.75, "headroom": 0.25, "stability": 0.4, "sin_yaw": -1,
        "velocity_x": 0.3, "velocity_y": -0.4, "velocity_z": -0.2,
        "laser_cooldown": 0.5, "missile_cooldown": 1, "kinetic_cooldown": 0.25, "painter_cooldown": 0.25,
        "targeted": 1, "under_fire": 1, "painted": 1, "incoming_missile": 1, "damage_x": 0.6, "damage_y": 0.8,
        "in_zone": 1, "zone_x": 0.25, "zone_y": -0.1, "zone_radius": 0.2, "control": -0.4, "score": 1,
        "enemy_score": 0.5, "time": 0.25, "suppressed": 1,
    }  # fmt: skip
    expect(observe(made)[1, me], "ego.", expected)
    mechs.heat[1, me], mechs.fallen[1, me], mechs.leg_hp[1, me] = 200, 2.0, 0
    mechs.stability[1, me] = 0
    more = {"heat": 2, "headroom": 0, "shutdown": 1, "fallen": 1, "legged": 1, "leg_hp": 0, "stability": 0}
    expect(observe(made)[1, me], "ego.", {**expected, **more})


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (SCOUT, {"suite_scout_recon": 1, "contact_slots": 1, "range_factor": 1, "fidelity": 0.8}),
        (HEAVY, {"suite_heavy_fire_support": 1, "contact_slots": 0.25, "fidelity": 1, "contact_reports": 1}),
        (
            12,
            {"suite_squad_command": 1, "contact_slots": 0.3, "range_factor": 0.2 / 0.7, "fidelity": 0.5, "detail": 1}
            | dict.fromkeys(("sees_engaged", "gives_orders", "contact_reports", "much_intel"), 1),
        ),
    ],
)
def test_descriptor(place: int, expected: dict[str, float]) -> None:
    expect(observe(arena(packs=2))[0, place], "descriptor.", expected)


@pytest.mark.parametrize(
    ("viewer", "told"),
    [
        (SCOUT, {}),
        (LIGHT, {"velocity_x": 0.3, "velocity_y": -0.1, "hp": 0.5, "heat": 0.3}),
        (LEADER, {"velocity_x": 0.3, "velocity_y": -0.1, "hp": 0.5, "heat": 0.3, "stability": 0.7, "engaged": 1}),
    ],
)
def test_the_squad_is_told_as_the_suite_has_detail(viewer: int, told: dict[str, float]) -> None:
    made = arena(visibility="partial")
    mechs = made.mechs
    mechs.position[0, MEDIUM] = mechs.position[0, viewer] + (4, -8)
    mechs.altitude[0, MEDIUM], mechs.altitude[0, viewer] = 0, 2
    mechs.velocity[0, MEDIUM], mechs.velocity[0, viewer] = (4, 0), (1, 1)
    mechs.hp[0, MEDIUM], mechs.heat[0, MEDIUM], mechs.stability[0, MEDIUM] = 75, 30, 70
    mechs.targeted[0, MEDIUM] = True
    row = MEDIUM - (viewer < MEDIUM)
    expect(observe(made)[0, viewer], f"squad.{row}.", {"x": 0.1, "y": -0.2, "z": -0.05, **told})
    leads = [block(observe(made)[0, viewer], f"squad.{row}.")["leader"] for row in range(5)]
    assert leads == [0, 0, 0, 0, viewer != LEADER]


def test_rows_of_the_squad() -> None:
    made = arena(packs=2)
    made.mechs.alive[0, 8] = False
    masks = observe(made)[0, :, SQUAD_MASK_AT]
    assert masks[6].tolist() == [0, 1, 0, 0, 0] + [1] * 7, "the pack's others, without the dead"
    assert masks[0].tolist() == [0] * 5 + [1] * 7
    assert masks[12].tolist() == [0] * 8 + [1] + [0] * 3, "who leads the squad sees both packs"
    assert not observe(made)[0, 12, SQUAD_AT].reshape(12, -1)[8].any()


def test_panel() -> None:
    made = arena()
    mechs = made.mechs
    mechs.alive[0, [1, ENEMY, ENEMY + 1]] = False
    seen = observe(made)[0]
    known = {"has_order": 1, "squad": 0.8}
    masses = {"threat": (0.7 + 1 + 1.5 + 0.7) / 5, "friends": (0.7 + 1 + 1.5 + 0.7) / 5}
    expect(seen[SCOUT], "panel.", {"contacts": 8 / 20, **known, **masses})
    mechs.position[0, :ENEMY, 0], mechs.position[0, ENEMY:, 0] = np.arange(6), 10 + np.arange(6)
    mechs.position[0, :, 1] = 0
    masses = {"threat": (0.7 + 1) / 5, "friends": (1 + 0.7 + 0.7) / 5}
    seen = observe(made)[0]
    expect(seen[HEAVY], "panel.", {"contacts": 1, **known, **masses})
    assert block(seen[LEADER], "panel.")["has_order"] == 0, "nobody is above who leads the pack"
    assert block(seen[LEADER], "panel.")["detail"] == 1
    mechs.alive[0, LEADER] = False
    assert block(observe(made)[0, SCOUT], "panel.")["has_order"] == 0


def test_the_panel_in_a_squad() -> None:
    made = arena(packs=2)
    seen = observe(made)[0]
    assert block(seen[SCOUT], "panel.")["threat"] == 1, "not 10.8 / 5"
    assert seen[[LEADER, 12], AT["panel.has_order"]].tolist() == [1, 0]
    made.mechs.alive[0, 12] = False
    assert observe(made)[0, [SCOUT, LEADER], AT["panel.has_order"]].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("name", "value"), [("hurried", 0.05), ("hp", 49), ("heat", 118), ("stability", 19.9), ("heat", 500)]
)
def test_the_panel_alerts(name: str, value: float) -> None:
    made = arena()
    assert observe(made)[0, HEAVY, AT["panel.alert"]] == 0
    getattr(made.mechs, name)[0, HEAVY] = value
    assert observe(made)[0, HEAVY, AT["panel.alert"]] == 1


def test_intel_are_enemies_that_only_others_see() -> None:
    made = arena(visibility="partial")
    sees = np.zeros((1, 12, 12), np.bool_)
    sees[0, SCOUT, [ENEMY, ENEMY + 1]] = sees[0, MEDIUM, ENEMY] = sees[0, ENEMY, 0] = True
    intel = observe(made, sees)[0, :, AT["panel.intel"]]
    assert intel[:ENEMY] == pytest.approx([0, 0, 2 / 8, 1 / 6, 2 / 3, 2 / 10]), "scouts receive no reports"


def test_what_nobody_sees_is_not_shown() -> None:
    made = arena(visibility="partial")
    made.grounds.heights[0, 20] = 6
    assert observe(made)[0, SCOUT, CONTACT_MASK_AT].sum() == 20 - 5


def test_the_dead_and_the_absent_get_zeros_and_full_masks() -> None:
    made = Arena(Roster(2), 1)
    made.begin(0, 0, 40, 1, 0)
    made.mechs.alive[0, 3] = False
    seen = observe(made)
    blank = np.zeros(FLAT_OBS_DIM)
    blank[CONTACT_MASK_AT] = blank[SQUAD_MASK_AT] = 1
    gone = [place for place in range(26) if place % 13 >= 6 or place == 3]
    for place in gone:
        assert np.array_equal(seen[0, place], blank)
    assert (seen[0, [0, 13]][:, CONTACT_MASK_AT].sum(1) == [10, 10]).all()
    assert seen.dtype == np.float32


ODD = np.array([name.rpartition(".")[2].rpartition("_")[2] in ("x", "y", "yaw") for name in COLUMNS])


@pytest.mark.parametrize("visibility", ["full", "partial"])
def test_the_other_side_sees_a_mirrored_world(visibility: str) -> None:
    draws = np.random.default_rng(3)
    made = Arena(Roster(1), 2, visibility=visibility)
    made.begin(0, 5, 41, 1, 0)
    made.begin(1, 5, 41, 1, 1)
    signs = np.where(ODD, np.float32(-1), np.float32(1))
    for _ in range(30):
        seen = observe(made)
        assert np.array_equal(seen[0], seen[1] * signs), [
            COLUMNS[at] for at in np.flatnonzero((seen[0] != seen[1] * signs).any(0))
        ]
        actions = draws.uniform(-1, 1, (1, 12, 9))
        made.step(np.concatenate((actions, actions)))


def test_one_team_sees_what_the_other_would_in_its_place() -> None:
    made = arena()
    mechs = made.mechs
    mechs.position[0, ENEMY:], mechs.heading[0, ENEMY:] = -mechs.position[0, :ENEMY], -mechs.heading[0, :ENEMY]
    signs = np.where(ODD, np.float32(-1), np.float32(1))
    seen = observe(made)[0]
    assert np.array_equal(seen[:ENEMY], seen[ENEMY:] * signs)


def test_a_match_is_observed_alike_alone_and_among_others() -> None:
    draws = np.random.default_rng(4)
    many, alone = arena(5, visibility="partial"), Arena(Roster(1), 1, visibility="partial")
    alone.begin(0, 3, 40, 1, 0)
    for _ in range(10):
        actions = draws.uniform(-1, 1, (5, 12, 9))
        many.step(actions)
        alone.step(actions[3:4])
        assert observe(many)[3].tobytes() == observe(alone)[0].tobytes()
