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

HOST: dict[str, Any] = {
    **dict.fromkeys(("loss", "loss_history", "best_loss"), 1.0),
    **dict.fromkeys(("accuracy", "accuracy_history", "best_accuracy"), 0.5),
    **dict.fromkeys(("plateau_epochs", "seed_parameters", "last_op"), 0),
    "epoch": 10,
    "epochs_total": 40,
    "stabilized": False,
    "last_op_success": True,
}
SLOT: dict[str, Any] = {
    **dict.fromkeys(("alpha", "alpha_target", "alpha_velocity", "contribution", "contribution_velocity"), 0.0),
    **dict.fromkeys(("gradient_norm", "gradient_health", "gradient_health_prev"), 0.0),
    **dict.fromkeys(("interaction_sum", "boost_received"), 0.0),
    **dict.fromkeys(("epochs_in_stage", "alpha_mode", "ticks_to_target", "algorithm", "interaction_age"), 0),
    "stage": STAGES.index("EMBARGOED"),
    "blueprint": 2,
    "vanishing": False,
    "exploding": False,
}
QUIET = HOST | SLOT
"""A state in which nothing stands out: field → value."""


def _field(name: str, value: Any) -> StateField:
    shape = ("E", "N") if name in SLOT else ("E", HISTORY) if name.endswith("history") else ("E",)
    high = len(STAGES) - 1 if name == "stage" else 10**7
    return StateField(name, shape, type(value).__name__, "", "", -1, high)


STATE = StateSpec(tuple(_field(name, value) for name, value in QUIET.items()))


@pytest.fixture(scope="session")
def quiet() -> Callable[..., dict[str, Tensor]]:
    """Return a function that makes the quiet state of E environments of N slots; slot fields are changed in slot 1."""

    def make(changes: dict[str, Any] | None = None, *, envs: int = 2, num_slots: int = 3) -> dict[str, Tensor]:
        state = {name: torch.full(STATE[name].sizes(envs, num_slots, len(OPS)), value) for name, value in QUIET.items()}
        for name, value in (changes or {}).items():
            state[name][(slice(None), min(1, num_slots - 1)) if name in SLOT else slice(None)] = value
        return state

    return make


@pytest.fixture(scope="session")
def build() -> Callable[..., BuildContext]:
    """Return a function that makes a build context for N slots."""

    def make(num_slots: int = 3) -> BuildContext:
        slots = SlotConfig.for_grid(1, num_slots)
        labels = tuple(f"blueprint_{i}" for i in range(13))
        details = Head("slot", slots.slot_ids, ops=OPS[1:]), Head("blueprint", labels, ops=("GERMINATE",))
        actions = ActionSpec((Head("op", OPS), *details), root="op", slot="slot")
        return BuildContext(slots, actions, STATE, None, 0, 0.995, 2, 0, "cpu", torch.float32)

    return make


@pytest.fixture(scope="session")
def extractor(build: Callable[..., BuildContext]) -> Callable[..., ObsV3]:
    """Return a function that makes an extractor for N slots."""
    return lambda num_slots=3, **options: ObsV3(ObsV3Config(**options), build(num_slots))
