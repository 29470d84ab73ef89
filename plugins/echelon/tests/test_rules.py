from types import SimpleNamespace

import numpy as np
import pytest
import torch

from esper_core.composition.build import build_environment, build_parts
from esper_core.composition.plan import PlanRequest, make_plan
from esper_core.contracts.protocols import Masks
from esper_core.registry.loading import load_index
from esper_echelon.matches.config import LieutenantConfig
from esper_echelon.perception.layout import (
    CONTACT,
    CONTACT_MASK_AT,
    CONTACTS_AT,
    DESCRIPTOR_AT,
    EGO,
    EGO_AT,
    FLAT_OBS_DIM,
    SQUAD_MASK_AT,
)
from esper_echelon.rules.rules import Charge, Hold, Lieutenant
from esper_echelon.simulation.tables import (
    FORWARD,
    HEAVY,
    LIGHT,
    MEDIUM,
    PRIMARY,
    SCOUT,
    SECONDARY,
    SPECIAL,
    STRAFE,
    TERTIARY,
    VENT,
    YAW_RATE,
)

SIZE = 40.0


def seen(chassis, contacts=(), **ego):
    """One mech that looks along x in the middle of its zone; contacts are dicts in metres."""
    row = np.zeros(FLAT_OBS_DIM, np.float32)
    row[CONTACT_MASK_AT] = row[SQUAD_MASK_AT] = 1
    row[DESCRIPTOR_AT.start + chassis] = 1
    known = {"hp": 1.0, "leg_hp": 1.0, "cos_yaw": 1.0, "zone_radius": 7.5 / SIZE, "in_zone": 1.0, **ego}
    for name, value in known.items():
        row[EGO_AT.start + EGO.index(name)] = value
    for slot, contact in enumerate(contacts):
        row[CONTACT_MASK_AT.start + slot] = 0
        side = {"friendly": 1.0} if contact.get("friendly") else {"hostile": 1.0}
        for name, value in {"visible": 1.0, "hp": 1.0, **side, **contact}.items():
            metres = SIZE if name in ("x", "y") else 1
            row[CONTACTS_AT.start + slot * len(CONTACT) + CONTACT.index(name)] = value / metres
    return row


def act(rule, *rows, seed=0):
    state = {"suite": torch.tensor(np.stack(rows)), "map_size": torch.full((len(rows),), SIZE)}
    rule.reset(len(rows))
    return rule(state, Masks({}), torch.Generator().manual_seed(seed))["act"].numpy()


@pytest.fixture
def lieutenant():
    return Lieutenant(None, SimpleNamespace())


@pytest.mark.parametrize(
    ("chassis", "enemy", "pressed"),
    [
        (HEAVY, {"x": 19}, {TERTIARY}),
        (HEAVY, {"x": 21}, set()),
        (HEAVY, {"x": 30, "painted": 1}, {SECONDARY}),
        (HEAVY, {"x": 7}, {PRIMARY, SECONDARY, TERTIARY}),
        (HEAVY, {"x": -7}, set()),
        (MEDIUM, {"x": 11}, {TERTIARY}),
        (MEDIUM, {"x": 3, "y": 4}, {PRIMARY}),
        (LIGHT, {"x": 4}, {PRIMARY, SECONDARY, TERTIARY}),
        (LIGHT, {"x": 7}, {SECONDARY, TERTIARY}),
        (SCOUT, {"x": 9}, {PRIMARY, SECONDARY}),
    ],
)
def test_a_lieutenant_fires_what_reaches_its_target(lieutenant, chassis, enemy, pressed):
    (found,) = act(lieutenant, seen(chassis, [enemy]))
    assert {button for button in (PRIMARY, SECONDARY, TERTIARY, SPECIAL) if found[button] > 0} == pressed


def test_it_keeps_cool(lieutenant):
    """A heavy bears 130 of heat: at 80 % the 15 of a gauss are left, not the 45 of missiles; at 92 % nothing is."""
    some, none = act(lieutenant, *(seen(HEAVY, [{"x": 7}], heat=heat, headroom=1 - heat) for heat in (0.75, 0.98)))
    assert (some[TERTIARY], some[SECONDARY]) == (1, -1) and none[[PRIMARY, SECONDARY, TERTIARY]].max() == -1
    assert some[VENT] == none[VENT] == 1


def test_it_spares_friends_from_what_bursts(lieutenant):
    """A gauss reaches 1.5 m from where the body of a medium begins, which is 1.25 m wide on this side."""
    enemy = {"x": 15, "is_medium": 1}
    beside = {"friendly": 1, "is_scout": 1, "x": 15}
    near, far = act(lieutenant, *(seen(HEAVY, [enemy, {**beside, "y": y}]) for y in (3.8, 3.9)))
    assert near[TERTIARY] == -1 and far[TERTIARY] == 1, (
        "1.25 + 1.5, half a metre to be sure, and 0.6 of the scout: 3.85"
    )


def test_it_goes_to_the_zone_and_turns_to_who_is_near(lieutenant):
    far = {"zone_x": 0.0, "zone_y": 0.5, "in_zone": 0.0}
    walks, looks = act(lieutenant, seen(MEDIUM, **far), seen(MEDIUM, [{"x": 15, "y": -15}], **far))
    assert walks[STRAFE] == pytest.approx(1) and walks[YAW_RATE] == 1, "the zone is to the left"
    assert looks[STRAFE] == pytest.approx(1) and looks[YAW_RATE] == -1, "the enemy is to the right"


def test_it_paints_what_nobody_has_painted_and_shoots_at_what_is(lieutenant):
    enemies = [{"x": 5, "y": 1, "painted": 1}, {"x": 5, "y": -3}]
    scout, light = act(lieutenant, seen(SCOUT, enemies), seen(LIGHT, enemies))
    assert scout[YAW_RATE] < 0 < light[YAW_RATE]


def test_of_two_scouts_one_jams_and_one_clears(lieutenant):
    friend = {"friendly": 1, "is_scout": 1, "x": 4}
    away, here = act(lieutenant, seen(SCOUT, [friend], zone_x=5 / SIZE), seen(SCOUT, [friend]))
    assert away[SECONDARY] > 0.5 >= here[SECONDARY] > 0


def test_who_is_hurt_goes_behind_a_friend(lieutenant):
    others = [{"x": 7}, {"friendly": 1, "x": 0, "y": 4}]
    hurt, well = act(lieutenant, seen(MEDIUM, others, hp=0.2), seen(MEDIUM, others))
    assert hurt[STRAFE] > 0.5 > well[STRAFE] and hurt[FORWARD] < 0


def test_the_dead_do_nothing_and_neighbours_change_nothing(lieutenant):
    rows = [seen(k, [{"x": 3 + k, "y": 0.3 * k}], heat=0.1 * k) for k in range(4)] + [
        np.zeros(FLAT_OBS_DIM, np.float32)
    ]
    for rule in (lieutenant, Hold(None, None), Charge(None, None)):
        together = act(rule, *rows)
        assert (together == np.concatenate([act(rule, row) for row in rows])).all()
        assert not together[-1].any() and abs(together).max() <= 1


def test_a_mirrored_world_gets_the_same_actions(lieutenant):
    """All signs of the world changed: bodies do the same."""
    enemies = [{"x": 3.7, "y": 2.9}, {"x": -4, "y": 8, "friendly": 1}]
    turned = [{**e, "x": -e["x"], "y": -e["y"]} for e in enemies]
    one = {"zone_x": 0.3, "zone_y": -0.2, "sin_yaw": 0.6, "cos_yaw": 0.8, "in_zone": 0.0}
    two = {name: -value for name, value in one.items()}
    for chassis in range(4):
        here, there = act(lieutenant, seen(chassis, enemies, **one), seen(chassis, turned, **two))
        assert (here == there).all()


def test_weapon_prob_holds_fire_but_not_a_scouts_electronics():
    rows = [seen(MEDIUM, [{"x": 7}]), seen(SCOUT, [{"x": 7}])] * 200
    fires = act(Lieutenant(LieutenantConfig(weapon_prob=0.5), None), *rows)
    assert 60 < (fires[::2, TERTIARY] > 0).sum() < 140 and 60 < (fires[1::2, PRIMARY] > 0).sum() < 140
    assert (fires[1::2, SECONDARY] > 0).all()
    assert (act(Lieutenant(LieutenantConfig(weapon_prob=0), None), *rows)[:, [PRIMARY, TERTIARY]] == -1).all()


def test_hold_stands_in_the_zone_and_charge_runs_at_the_enemy():
    """Both fire; only one of them minds its heat."""
    hot, cool = (seen(MEDIUM, [{"x": 9}], heat=heat) for heat in (0.99, 0.1))
    stands, fires = act(Hold(None, None), hot, cool)
    assert not stands[[FORWARD, STRAFE]].any() and (stands[[PRIMARY, SECONDARY, TERTIARY]] == -1).all()
    assert fires[TERTIARY] == 1
    (runs,) = act(Charge(None, None), hot)
    assert runs[FORWARD] == 1 and (runs[[PRIMARY, SECONDARY, TERTIARY]] == 1).all()
    for rule in (Hold, Charge):
        (walks,) = act(rule(None, None), seen(MEDIUM, zone_x=-0.4, in_zone=0))
        assert walks[FORWARD] == -1


def test_who_was_taught_plays_without_the_teacher():
    index = load_index()
    request = PlanRequest(policy="combat-suite", environment="echelon", uses={"rule": "hold"}, envs=1, device="cpu")
    plan = make_plan(request, index)
    parts = build_parts(plan, index)
    assert isinstance(parts["rule"], Hold)
    for environment in (parts["environment"], (context := build_environment(plan, index)).parts["environment"]):
        environment.close()
    assert "rule" not in context.parts
