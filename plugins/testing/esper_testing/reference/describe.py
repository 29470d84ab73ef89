"""The reference environment and features as tables, without torch.

A row of lamps, one per slot. An operation lights a dark one in some colour or puts a lit one out; what pays is to have
them lit in the colour of the episode.
"""

from __future__ import annotations

from math import prod

from attrs import evolve

from esper_core.builtin.config import FlatConfig
from esper_core.builtin.describe import describe as describe_flat
from esper_core.builtin.describe import is_per_slot
from esper_core.contracts.actions import ActionSpec, AnyHead, ContinuousHead, Head
from esper_core.contracts.features import ArrayField, FeatureSchema, IndexField
from esper_core.contracts.slots import SlotConfig
from esper_core.contracts.state import EnvironmentDescription, Outcome, StateField, StateSpec
from esper_testing.reference.config import DuelConfig, LampsConfig, MatchConfig

OPS = WAIT, LIGHT, DOUSE = ("WAIT", "LIGHT", "DOUSE")
COLOURS = ("red", "green", "blue")
STRENGTHS = ("dim", "bright")
LEVELS = ("glow", "glare")
ROOTLESS = ("flat", "numbers")
"""Layouts in which no operation is chosen: all lamps always get the colour."""

PLAY = ("REST", "AIM")
ARCHERS = 3
MOVES = ("rock", "paper", "scissors")
PICTURE = (16, 12, len(COLOURS))
OUTCOMES = (
    Outcome("right", "fraction", "share of the lamps that are lit in the colour that pays", higher_is_better=True),
    Outcome("lit", "lamps", "lamps that are lit", higher_is_better=False),
)


def describe(config: LampsConfig, slots: SlotConfig) -> EnvironmentDescription:
    """Return actions, state and horizon of the reference environment."""
    return EnvironmentDescription(
        _actions(config, slots),
        _state(config),
        config.epochs,
        outcomes=OUTCOMES,
        replayable=True,
        shares=True,
        world=("target",),
    )


def describe_match(config: MatchConfig, slots: SlotConfig) -> EnvironmentDescription:
    """Return actions, state, horizon and rows of the reference environment of several agents."""
    fields = (
        StateField("clock", ("E",), "float", "fraction", "how much of the match is over"),
        StateField("target", ("E",), "float", "", "what to aim at", -1, 1),
        StateField("energy", ("E",), "float", "fraction", "how often the archer can still aim"),
        StateField("company", ("E",), "float", "fraction", "share of the match's archers who are still there"),
        StateField("there", ("E",), "bool", "", "the archer is still there"),
    )
    actions = ActionSpec((Head("play", PLAY), ContinuousHead("aim", ("at",), ops=("AIM",))), root="play")
    train = {"rollout_steps": max(1, config.epochs // 2)}
    known = actions, StateSpec(fields), config.epochs
    return EnvironmentDescription(*known, train=train, restarts=True, rows=ARCHERS, shares=True)


def describe_duel(config: DuelConfig, slots: SlotConfig) -> EnvironmentDescription:
    """Return actions, state, horizon, rows and sides of the reference environment of two sides."""
    last = len(MOVES) - 1
    fields = (
        StateField("round", ("E",), "float", "fraction", "how much of the match is over"),
        StateField("lead", ("E",), "float", "fraction", "points less those of the other side", -1, 1),
        StateField("mine", ("E",), "int", "index", "move that the player made last; -1 for none", -1, last),
        StateField("theirs", ("E",), "int", "index", "move that was made against it", -1, last),
    )
    outcomes = (
        Outcome("won", "fraction", "1 for a match that was won, 0.5 for a draw, 0 for one that was lost", True),
        Outcome("margin", "points", "points less those of the other side", True),
    )
    return EnvironmentDescription(
        ActionSpec((Head("move", MOVES),)),
        StateSpec(fields),
        config.epochs,
        outcomes=outcomes,
        train={"rollout_steps": max(1, config.epochs // 2)},
        restarts=True,
        rows=config.players,
        sides=("home", "away"),
    )


def describe_features(config: None, slots: SlotConfig, actions: ActionSpec, state_spec: StateSpec) -> FeatureSchema:
    """Return the schema of the reference features: `flat`, categories as indices as well, and pictures as arrays."""
    indices = [
        IndexField(
            entry.name,
            prod(entry.sizes(1, slots.num_slots, len(actions.ops))),
            int(entry.high) + 1,
            per_slot=is_per_slot(entry),
        )
        for entry in state_spec.fields
        if entry.dtype == "int" and entry.unit == "index" and entry.low >= -1
    ]
    arrays = [
        ArrayField(entry.name, entry.sizes(1, slots.num_slots, len(actions.ops))[1:], entry.dtype)
        for entry in state_spec.fields
        if entry.dtype == "uint8"
    ]
    flat = describe_flat(FlatConfig(), slots, actions, numbers(state_spec))
    return evolve(flat, indices=indices, arrays=arrays)


def numbers(state_spec: StateSpec) -> StateSpec:
    """Return the fields of a state that are no pictures."""
    return StateSpec(entry for entry in state_spec.fields if entry.dtype != "uint8")


def _actions(config: LampsConfig, slots: SlotConfig) -> ActionSpec:
    if config.layout == "flat":
        return ActionSpec((Head("colour", COLOURS), Head("strength", STRENGTHS)))
    if config.layout == "numbers":
        return ActionSpec((ContinuousHead("colour", COLOURS), ContinuousHead("strength", LEVELS, 0, 1)))
    strength: AnyHead = Head("strength", STRENGTHS, 1, (LIGHT, DOUSE), 0.5)
    if config.layout == "mixed":
        # Bounds of its own for each number, which is cut off there.
        strength = ContinuousHead("strength", LEVELS, (0, -1), (1, 3), False, (LIGHT, DOUSE), 0.5)
    details = (Head("colour", (*COLOURS, "none"), 3, (LIGHT,)), strength)
    if config.layout == "rooted":
        return ActionSpec((Head("op", OPS), *details), root="op")
    slot = Head("slot", slots.slot_ids, 0, (LIGHT, DOUSE))
    return ActionSpec((Head("op", OPS), slot, *details), root="op", slot="slot")


def _state(config: LampsConfig) -> StateSpec:
    last = len(COLOURS) - 1
    fields = [
        StateField("target", ("E",), "int", "index", "the colour that pays", 0, last),
        StateField("clock", ("E",), "float", "fraction", "how much of the episode is over"),
        StateField("lit", ("E", "N"), "bool", "", "the lamp is lit"),
        StateField("colour", ("E", "N"), "int", "index", "colour of the lamp; -1 when it is dark", -1, last),
        StateField("brightness", ("E", "N"), "float", "fraction", "how bright the lamp is"),
    ]
    if config.layout not in ROOTLESS:
        fields.append(StateField("counts", ("E", "O"), "float", "steps", "how often each operation came", 0, 100))
    if config.pictures:
        fields.append(StateField("picture", ("E", *PICTURE), "uint8", "", "a row in the colour that pays", 0, 255))
    return StateSpec(fields)
