"""A state of obs-v3's own, so that its tests need no environment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from esper_core import ActionSpec, Head, SlotConfig, StateField, StateSpec
from esper_core.contracts.protocols import BuildContext
from esper_obs_v3.config import ObsV3Config
from esper_obs_v3.features import ObsV3
from esper_obs_v3.schema import HISTORY, STAGES

OPS = ("WAIT", "GERMINATE", "SET_ALPHA_TARGET", "PRUNE", "FOSSILIZE", "ADVANCE")

QUIET: dict[str, Any] = {
    "epoch": 10,
    "epochs_total": 40,
    "loss": 1.0,
    "accuracy": 0.5,
    "loss_history": 1.0,
    "accuracy_history": 0.5,
    "best_loss": 1.0,
    "best_accuracy": 0.5,
    "plateau_epochs": 0,
    "stabilized": False,
    "seed_parameters": 0,
    "last_op": 0,
    "last_op_success": True,
    "stage": STAGES.index("EMBARGOED"),
    "blueprint": 2,
    "epochs_in_stage": 0,
    "alpha": 0.0,
    "alpha_target": 0.0,
    "alpha_mode": 0,
    "alpha_velocity": 0.0,
    "ticks_to_target": 0,
    "algorithm": 0,
    "contribution": 0.0,
    "contribution_velocity": 0.0,
    "gradient_norm": 0.0,
    "gradient_health": 0.0,
    "gradient_health_prev": 0.0,
    "vanishing": False,
    "exploding": False,
    "interaction_sum": 0.0,
    "boost_received": 0.0,
    "interaction_age": 0,
}
"""A state in which nothing stands out: field → value; from `stage` on, one per slot."""

PER_SLOT = tuple(QUIET)[tuple(QUIET).index("stage") :]
_HIGH = {"stage": len(STAGES) - 1}


def _field(name: str, value: Any) -> StateField:
    shape = ("E", "N") if name in PER_SLOT else ("E", HISTORY) if name.endswith("history") else ("E",)
    return StateField(name, shape, type(value).__name__, "", "", -1, _HIGH.get(name, 10**7))


STATE = StateSpec(tuple(_field(name, value) for name, value in QUIET.items()))


@pytest.fixture(scope="session")
def quiet() -> Callable[..., dict[str, Tensor]]:
    """Return a function that makes the quiet state of E environments of N slots; slot fields are changed in slot 1."""

    def make(changes: dict[str, Any] | None = None, *, envs: int = 2, num_slots: int = 3) -> dict[str, Tensor]:
        state = {name: torch.full(STATE[name].sizes(envs, num_slots, len(OPS)), value) for name, value in QUIET.items()}
        for name, value in (changes or {}).items():
            state[name][(slice(None), min(1, num_slots - 1)) if name in PER_SLOT else slice(None)] = value
        return state

    return make


@pytest.fixture(scope="session")
def build() -> Callable[..., BuildContext]:
    """Return a function that makes a build context for N slots."""

    def make(num_slots: int = 3) -> BuildContext:
        slots = SlotConfig.for_grid(1, num_slots)
        labels = tuple(f"blueprint_{i}" for i in range(13))
        heads = (
            Head("op", OPS),
            Head("slot", slots.slot_ids, ops=OPS[1:]),
            Head("blueprint", labels, ops=("GERMINATE",)),
        )
        actions = ActionSpec(heads, root="op", slot="slot")
        return BuildContext(slots, actions, STATE, None, 0, 0.995, 2, 0, "cpu", torch.float32)

    return make


@pytest.fixture(scope="session")
def extractor(build: Callable[..., BuildContext]) -> Callable[..., ObsV3]:
    """Return a function that makes an extractor for N slots."""

    def make(num_slots: int = 3, **options: float) -> ObsV3:
        return ObsV3(ObsV3Config(**options), build(num_slots))

    return make
