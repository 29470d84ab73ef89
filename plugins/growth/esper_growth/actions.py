"""The action table of growth: eight categorical heads, what each value means, and which operations they matter to."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

from esper_core import ActionSpec, Head, SlotConfig


class Op(IntEnum):
    """Operations, in the order of the op head."""

    WAIT = 0
    GERMINATE = 1
    SET_ALPHA_TARGET = 2
    PRUNE = 3
    FOSSILIZE = 4
    ADVANCE = 5


class Algorithm(IntEnum):
    """How a seed's branch joins the host's activation."""

    ADD = 0
    MULTIPLY = 1
    GATE = 2


class Curve(IntEnum):
    """Shape of an alpha ramp."""

    LINEAR = 0
    COSINE = 1
    SIGMOID = 2


NOOP = "noop"
BLUEPRINT_TOPOLOGY: dict[str, tuple[str, ...]] = {
    NOOP: (),
    "conv_light": ("image",),
    "attention": ("image", "sequence"),
    "norm": ("image", "sequence"),
    "depthwise": ("image",),
    "bottleneck": ("image",),
    "conv_small": ("image",),
    "conv_heavy": ("image",),
    "lora": ("sequence",),
    "lora_large": ("sequence",),
    "mlp_small": ("sequence",),
    "mlp": ("sequence",),
    "flex_attention": ("sequence",),
}
"""The thirteen labels of the blueprint head and the host topologies on which each is meant to be legal."""

STYLES: tuple[tuple[str, Curve, Algorithm], ...] = (
    ("LINEAR_ADD", Curve.LINEAR, Algorithm.ADD),
    ("LINEAR_MULTIPLY", Curve.LINEAR, Algorithm.MULTIPLY),
    ("SIGMOID_ADD", Curve.SIGMOID, Algorithm.ADD),
    ("GATED_GATE", Curve.LINEAR, Algorithm.GATE),
)
"""Style = curve of the germination ramp × blend."""

TEMPOS: tuple[tuple[str, int], ...] = (("FAST", 3), ("STANDARD", 5), ("SLOW", 8))
"""Epochs of the germination ramp."""

ALPHA_TARGETS: tuple[tuple[str, float], ...] = (("HALF", 0.5), ("SEVENTY", 0.7), ("FULL", 1.0))

ALPHA_SPEEDS: tuple[tuple[str, int], ...] = (("INSTANT", 0), ("FAST", 3), ("MEDIUM", 5), ("SLOW", 8))
"""Controller ticks of a retarget or a prune."""

ALPHA_CURVES: tuple[tuple[str, Curve, float], ...] = (
    ("LINEAR", Curve.LINEAR, 12.0),
    ("COSINE", Curve.COSINE, 12.0),
    ("SIGMOID_GENTLE", Curve.SIGMOID, 6.0),
    ("SIGMOID", Curve.SIGMOID, 12.0),
    ("SIGMOID_SHARP", Curve.SIGMOID, 24.0),
)
"""Curve and steepness of a retarget or a prune."""


def action_spec(slots: SlotConfig, blueprints: Sequence[str]) -> ActionSpec:
    """Return the action table for these slots and blueprint labels; the null blueprint index is `len(blueprints)`."""
    germinate, retarget, prune = Op.GERMINATE.name, Op.SET_ALPHA_TARGET.name, Op.PRUNE.name
    return ActionSpec(
        heads=(
            Head("op", tuple(op.name for op in Op), neutral=Op.WAIT),
            Head("slot", slots.slot_ids, ops=tuple(op.name for op in Op if op is not Op.WAIT)),
            Head("blueprint", tuple(blueprints), ops=(germinate,), entropy_weight=1.3),
            Head("style", tuple(s[0] for s in STYLES), neutral=2, ops=(germinate, retarget), entropy_weight=1.2),
            Head("tempo", tuple(t[0] for t in TEMPOS), neutral=1, ops=(germinate,), entropy_weight=1.3),
            Head("alpha_target", tuple(a[0] for a in ALPHA_TARGETS), 2, (germinate, retarget), entropy_weight=1.2),
            Head("alpha_speed", tuple(a[0] for a in ALPHA_SPEEDS), 0, (retarget, prune), entropy_weight=1.2),
            Head("alpha_curve", tuple(a[0] for a in ALPHA_CURVES), 0, (retarget, prune), entropy_weight=1.2),
        ),
        root="op",
        slot="slot",
    )
