"""Rules that drive a team: `lieutenant` fights for the zone, `hold` stands in it, `charge` runs at the enemy.

They read what a learner observes, and how large the map is, since 706 numbers relative to the map say no metres.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from esper_core.contracts.protocols import BuildContext, Masks
from esper_echelon.matches.config import LieutenantConfig
from esper_echelon.rules.gunnery import Gunnery
from esper_echelon.rules.scene import Flags, Floats, Scene, cross, dot, length, unit
from esper_echelon.simulation.tables import (
    ACTIONS,
    CHASSIS,
    DECISION,
    DECISIONS,
    FORWARD,
    PRIMARY,
    SCOUT,
    SECONDARY,
    SPECIAL,
    STRAFE,
    TERTIARY,
    VENT,
    VERTICAL,
    YAW_RATE,
)

if TYPE_CHECKING:
    from esper_core.contracts.protocols import State

ENGAGE = 24.0
"""Who is nearer, m, is looked at instead of where one goes."""

KEEPS = np.array([6.0, 6.0, 7.0, 8.0])
"""Distance that each chassis keeps to its target, m: within its lasers or painter, out of flamers and own bursts."""

HURT, TOO_HOT = 0.35, 0.9
"""Share of hit points below which, and of heat above which, a lieutenant goes behind a friend."""

BEHIND, APART = 3.0, 3.0
"""How far behind a friend is cover, and how close friends may come, m."""

STUCK, TURNS = 0.15, 8
"""Share of its speed below which a mech is stuck, and decisions after which it tries the other side."""

BUTTONS, RELEASED = [VERTICAL, PRIMARY, VENT, SECONDARY, TERTIARY, SPECIAL], -1.0
"""What is pressed above 0, and what is said where it is not: whoever learns from a rule draws numbers around it."""

_MAX_YAW = np.array([known.max_yaw for known in CHASSIS])
_MAX_SPEED = np.array([known.max_speed for known in CHASSIS])
_HAS_JETS = np.array([known.jet > 0 for known in CHASSIS])


class _Driver(ABC):
    """What the three have in common: from a scene to actions."""

    def __init__(self, config: LieutenantConfig | None, context: BuildContext) -> None:
        self.config = config or LieutenantConfig()

    def reset(self, num_envs: int) -> None:  # noqa: B027
        """Keep no state: what a mech does follows from what it sees."""

    def __call__(self, state: State, masks: Masks, generator: torch.Generator) -> dict[str, Tensor]:
        """Map `suite` `[E, 706]` and `map_size` `[E]` to `act`, float32 `[E, 9]`; whoever is out does nothing."""
        suite = state["suite"]
        scene = Scene.of(suite.detach().cpu().numpy(), state["map_size"].detach().cpu().numpy())
        actions = self._drive(scene)
        actions[:, BUTTONS] = np.where(actions[:, BUTTONS] > 0, actions[:, BUTTONS], RELEASED)
        actions = np.where(scene.acts[:, None], actions, 0.0)
        found = torch.from_numpy(np.clip(actions, -1.0, 1.0).astype(np.float32))
        return {"act": self._held_back(found, scene, generator).to(suite.device)}

    @abstractmethod
    def _drive(self, scene: Scene) -> Floats:
        """Return actions `[E, 9]`."""

    def _held_back(self, actions: Tensor, scene: Scene, generator: torch.Generator) -> Tensor:
        return actions


class Hold(_Driver):
    """Kind `rule`: walks into the zone, stays in its middle, and fires from there at what comes near."""

    def _drive(self, scene: Scene) -> Floats:
        gunnery = Gunnery.of(scene)
        goal = np.where((length(scene.zone) > 0.3 * scene.radius)[:, None], scene.zone, 0.0)
        actions = _moves(scene, goal, np.where(gunnery.target_seen[:, None], gunnery.way, scene.zone))
        gunnery.fire(scene, actions)
        return actions


class Charge(_Driver):
    """Kind `rule`: runs at the nearest enemy, else into the zone, and fires all it has, however hot it gets."""

    def _drive(self, scene: Scene) -> Floats:
        which, any_hostile = scene.nearest(scene.hostile)
        goal = np.where(any_hostile[:, None], scene.pick(scene.way, which), scene.zone)
        actions = _moves(scene, goal, goal)
        actions[:, [PRIMARY, SECONDARY, TERTIARY]] = any_hostile[:, None] * 1.0
        return actions


class Lieutenant(_Driver):
    """Kind `rule`: fights for the zone with what its class has, in the cover of its team, as cool as that allows.

    It paints for its pack, jams from one scout and clears from the other, holds the distance that its weapons want,
    and goes behind a friend when it is hurt or hot. It lays nothing by: it sees what a learner sees, and no more.
    """

    def _drive(self, scene: Scene) -> Floats:
        gunnery = Gunnery.of(scene)
        retreats = (scene.ego["hp"] < HURT) | (scene.ego["heat"] > TOO_HOT)
        goal = self._goal(scene, gunnery.way, gunnery.target_seen, retreats)
        engaged = gunnery.target_seen & (gunnery.distance < ENGAGE)
        actions = _moves(scene, goal, np.where(engaged[:, None], gunnery.way, scene.zone))
        gunnery.fire(scene, actions)
        return actions

    def _goal(self, scene: Scene, target: Floats, seen: Flags, retreats: Flags) -> Floats:
        """Return where to go, relative to where each stands, `[E, 2]`."""
        far, to_zone = length(scene.zone), unit(scene.zone)
        inside = to_zone * np.maximum(far - 0.5 * scene.radius, 0.0)[:, None]
        # Where it can shoot it keeps its distance, and never leaves the zone for that.
        gap = length(target) - KEEPS[scene.chassis]
        fights = seen & ((far < 0.9 * scene.radius) | (length(target) < KEEPS[scene.chassis]))
        spot = np.where(fights[:, None], _within(scene, unit(target) * gap[:, None]), inside)
        friend, any_friend = scene.nearest(scene.friendly)
        beside = scene.pick(scene.way, friend)
        cover = beside + unit(beside - target) * BEHIND
        cover = np.where((far < scene.radius)[:, None], _within(scene, cover), cover)
        hides = retreats & seen & any_friend & (length(target) < ENGAGE)
        spot = np.where(hides[:, None], cover, spot)
        crowd = any_friend & (length(beside) < APART) & ~hides
        return spot - np.where(crowd[:, None], unit(beside) * (APART - length(beside))[:, None], 0.0)

    def _held_back(self, actions: Tensor, scene: Scene, generator: torch.Generator) -> Tensor:
        if self.config.weapon_prob >= 1:
            return actions
        held = torch.rand(len(actions), generator=generator) >= self.config.weapon_prob
        weapons = [PRIMARY, SECONDARY, TERTIARY, SPECIAL]
        scouts = torch.from_numpy(scene.chassis == SCOUT)
        kept = actions[:, SECONDARY].clone()
        actions[:, weapons] = torch.where(held[:, None], RELEASED, actions[:, weapons])
        actions[:, SECONDARY] = torch.where(scouts, kept, actions[:, SECONDARY])
        return actions


def _within(scene: Scene, spot: Floats) -> Floats:
    """Return a spot `[E, 2]` moved into the zone where it lies outside."""
    out, room = spot - scene.zone, 0.8 * scene.radius
    return scene.zone + unit(out) * np.minimum(length(out), room)[:, None]


def _moves(scene: Scene, goal: Floats, face: Floats) -> Floats:
    """Return actions `[E, 9]` that go to a place and look at another, vent, and fire nothing.

    Where something is in the way it goes along it, a while to the left and a while to the right, or jumps.
    """
    chassis, ego = scene.chassis, scene.ego
    actions = np.zeros((len(chassis), len(ACTIONS)))
    far = length(goal)
    step = _MAX_SPEED[chassis] * DECISION
    throttle = np.minimum(far / step, 1.0)
    wish = unit(goal) * throttle[:, None]
    speed = length(np.stack([ego["velocity_x"], ego["velocity_y"]], -1)) * 10
    stuck = (far > 2 * step) & (speed < STUCK * _MAX_SPEED[chassis])
    decision = np.rint(ego["time"] * DECISIONS)
    side = np.where(np.floor(decision / TURNS) % 2 == 0, 1.0, -1.0) * (stuck & (decision > 0))
    left = np.stack([-wish[:, 1], wish[:, 0]], -1)
    along = unit(wish * 0.3 + left * side[:, None]) * throttle[:, None]
    wish = np.where((side != 0)[:, None], along, wish)
    actions[:, FORWARD] = dot(wish, scene.heading)
    actions[:, STRAFE] = cross(scene.heading, wish)
    actions[:, VERTICAL] = stuck & (decision > 0) & _HAS_JETS[chassis]
    looks = unit(face)
    sine, ahead = cross(scene.heading, looks), dot(scene.heading, looks) > 0
    turn = sine / (_MAX_YAW[chassis] * DECISION)
    # Whoever has it right behind turns left.
    actions[:, YAW_RATE] = np.where(ahead, turn, np.where(sine < 0, -1.0, 1.0)) * (length(face) > 0)
    actions[:, VENT] = ego["heat"] > 0.25
    return actions
