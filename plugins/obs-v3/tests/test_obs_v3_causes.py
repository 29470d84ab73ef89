"""Every feature: moving its cause moves that column, to the value its formula gives, and no other column."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from attrs import field, frozen
from torch import Tensor

from esper_obs_v3.features import ObsV3
from esper_obs_v3.schema import STAGES

Quiet = Callable[..., dict[str, Tensor]]

SLOT = 1
"""The slot whose features are looked at; slots 0 and 2 are its neighbours."""


@frozen
class Cause:
    """Something that changes in environment 0: `field[0, at] = to`, from a quiet state with `start` written over."""

    column: str
    field: str
    to: Any
    value: float
    start: dict[str, Any] = field(factory=dict)
    at: int | None = None
    also: frozenset[str] = field(default=(), converter=frozenset)


stage = STAGES.index


def slot(column: str, index: int = SLOT) -> str:
    return f"slot{index}.{column}"


def stage_cause(name: str, also: tuple[str, ...] = (), value: float = 1.0, column: str = "") -> Cause:
    other = "RESETTING" if name == "EMBARGOED" else "EMBARGOED"
    moved = {slot(f"stage.{name}"), slot(f"stage.{other}"), *also}
    column = column or slot(f"stage.{name}")
    return Cause(column, "stage", stage(name), value, {"stage": stage(other)}, SLOT, moved)


SHARES = {"TRAINING": "training_share", "BLENDING": "blending_share", "HOLDING": "holding_share"}
OPS = ("WAIT", "GERMINATE", "SET_ALPHA_TARGET", "PRUNE", "FOSSILIZE", "ADVANCE")
NO_HISTORY = {"loss_history": -1.0, "accuracy_history": -1.0}
EMPTY = {"stage": stage("DORMANT"), "blueprint": -1}
FILLED = (slot("is_active"), slot("stage.DORMANT"), slot("counterfactual_fresh"), "slot_utilization")

CAUSES = (
    Cause("epoch_progress", "epoch", 30, 0.75),
    Cause("loss", "loss", 10.0, 1.0, NO_HISTORY),
    # Both losses are beyond the ceiling of the scaled ones, so only their difference can be seen.
    Cause("loss_delta", "loss", 199.0, 0.5, {"loss": 201.0, "loss_history": 200.0}),
    Cause("accuracy", "accuracy", 0.75, 0.75, NO_HISTORY),
    Cause("accuracy_delta", "accuracy", 0.55, 0.5, also={"accuracy"}),
    Cause("plateau", "plateau_epochs", 5, 0.25),
    Cause("host_stabilized", "stabilized", True, 1.0),
    # The differences to the current values stay clamped while the newest entry of the history moves.
    *(Cause(f"loss_{k}_ago", "loss_history", math.e - 1, 1 / math.log(11), {"loss": 9.0}, 5 - k) for k in range(1, 6)),
    *(Cause(f"accuracy_{k}_ago", "accuracy_history", 0.25, 0.25, {"accuracy": 0.9}, 5 - k) for k in range(1, 6)),
    Cause("best_accuracy", "best_accuracy", 0.75, 0.75),
    Cause("best_loss", "best_loss", 0.0, 0.0),
    Cause("params_utilization", "seed_parameters", 9_999, math.log(10_000) / math.log(500_001)),
    Cause("slot_utilization", "blueprint", 0, 1.0, EMPTY, SLOT, FILLED),
    *(stage_cause(name, (share,), 1 / 3, share) for name, share in SHARES.items()),
    Cause("last_op_success", "last_op_success", False, 0.0),
    *(
        Cause(f"last_op.{op}", "last_op", i, 1.0, {"last_op": (i + 1) % 6}, also={f"last_op.{OPS[(i + 1) % 6]}"})
        for i, op in enumerate(OPS)
    ),
    Cause(slot("is_active"), "blueprint", 0, 1.0, EMPTY, SLOT, FILLED),
    *(stage_cause(name, (SHARES[name],) if name in SHARES else ()) for name in STAGES if name != "DORMANT"),
    stage_cause("DORMANT"),
    Cause(slot("alpha"), "alpha", 0.6, 0.6, at=SLOT, also={slot("downstream_alpha", 0), slot("upstream_alpha", 2)}),
    Cause(slot("alpha_target"), "alpha_target", 0.7, 0.7, at=SLOT),
    Cause(slot("alpha_mode"), "alpha_mode", 1, 0.5, at=SLOT),
    Cause(slot("alpha_velocity"), "alpha_velocity", -0.25, -0.25, at=SLOT),
    Cause(slot("time_to_target"), "ticks_to_target", 8, 0.2, at=SLOT),
    Cause(slot("algorithm"), "algorithm", 2, 1.0, at=SLOT),
    Cause(slot("contribution"), "contribution", -0.05, -0.5, at=SLOT),
    Cause(slot("contribution_velocity"), "contribution_velocity", 0.02, 0.2, at=SLOT),
    Cause(slot("epochs_in_stage"), "epochs_in_stage", 4, 0.1, at=SLOT),
    Cause(slot("gradient_norm"), "gradient_norm", 5.0, 0.5, at=SLOT),
    Cause(slot("gradient_health"), "gradient_health", -1.0, -1.0, at=SLOT),
    Cause(slot("gradient_health_prev"), "gradient_health_prev", 0.5, 0.5, at=SLOT),
    Cause(slot("has_vanishing"), "vanishing", True, 1.0, at=SLOT),
    Cause(slot("has_exploding"), "exploding", True, 1.0, at=SLOT),
    Cause(slot("interaction_sum"), "interaction_sum", 0.05, 0.5, at=SLOT),
    Cause(slot("boost_received"), "boost_received", 0.025, 0.5, at=SLOT),
    Cause(slot("upstream_alpha"), "alpha", 0.6, 0.2, at=0, also={slot("alpha", 0), slot("upstream_alpha", 2)}),
    Cause(slot("downstream_alpha"), "alpha", 0.6, 0.2, at=2, also={slot("alpha", 2), slot("downstream_alpha", 0)}),
    Cause(slot("counterfactual_fresh"), "interaction_age", 2, 0.995**2, at=SLOT),
)


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: f"{cause.column}<{cause.field}")
def test_a_cause_moves_its_column_and_no_other(extractor: Callable[..., ObsV3], quiet: Quiet, cause: Cause) -> None:
    extract = extractor()
    before = quiet(cause.start)
    after = {name: value.clone() for name, value in before.items()}
    after[cause.field][0 if cause.at is None else (0, cause.at)] = cause.to

    old, new = extract(before).obs, extract(after).obs
    names = extract.schema.names
    moved = {names[column] for column in (old != new)[0].nonzero().flatten().tolist()}
    assert moved == cause.also | {cause.column}
    assert new[0, names.index(cause.column)].item() == pytest.approx(cause.value, abs=1e-6)
    assert torch.equal(old[1], new[1]), "another environment's row moved"


def test_every_feature_has_a_cause(extractor: Callable[..., ObsV3]) -> None:
    schema = extractor().schema
    wanted = {f.name for f in schema.base} | {slot(f.name) for f in schema.per_slot}
    assert {cause.column for cause in CAUSES} == wanted


@pytest.mark.parametrize(
    ("changes", "column", "value"),
    [
        ({"loss_history": -1.0}, "loss_delta", 0.0),
        ({"accuracy_history": -1.0}, "accuracy_delta", 0.0),
        ({"loss_history": -1.0}, "loss_1_ago", -1.0),
        ({"interaction_age": -1}, slot("counterfactual_fresh"), -1.0),
        ({"gradient_health_prev": -1.0}, slot("gradient_health_prev"), -1.0),
        ({"loss": 1e6}, "loss", 2.0),
        ({"loss": 9.0}, "loss_delta", -1.0),
        ({"seed_parameters": 10**7}, "params_utilization", 1.0),
        ({"contribution": -0.4}, slot("contribution"), -1.0),
        ({"interaction_sum": -0.4}, slot("interaction_sum"), 0.0),
        ({"boost_received": 0.4}, slot("boost_received"), 1.0),
    ],
)
def test_missing_and_extreme_values(
    extractor: Callable[..., ObsV3], quiet: Quiet, changes: dict[str, Any], column: str, value: float
) -> None:
    extract = extractor()
    assert extract(quiet(changes)).obs[0, extract.schema.names.index(column)].item() == pytest.approx(value)
