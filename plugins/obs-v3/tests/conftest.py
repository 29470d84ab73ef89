"""A state table of obs-v3's own, so that these tests need no environment."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from esper_core import ActionSpec, Head, SlotConfig, StateField, StateSpec
from esper_core.contracts.protocols import BuildContext
from esper_obs_v3.config import ObsV3Config
from esper_obs_v3.features import ObsV3
from esper_obs_v3.schema import HISTORY, STAGES

OPS = ("WAIT", "GERMINATE", "SET_ALPHA_TARGET", "PRUNE", "FOSSILIZE", "ADVANCE")

_BASE = (
    ("epoch", "int", 0, 40),
    ("epochs_total", "int", 40, 40),
    ("loss", "float", 0, 200),
    ("accuracy", "float", 0, 1),
    ("best_loss", "float", 0, 200),
    ("best_accuracy", "float", 0, 1),
    ("plateau_epochs", "int", 0, 40),
    ("stabilized", "bool", 0, 1),
    ("seed_parameters", "int", 0, 2_000_000),
    ("last_op", "int", 0, 5),
    ("last_op_success", "bool", 0, 1),
)
_SLOT = (
    ("stage", "int", 0, len(STAGES) - 1),
    ("blueprint", "int", -1, 12),
    ("epochs_in_stage", "int", 0, 80),
    ("alpha", "float", 0, 1),
    ("alpha_target", "float", 0, 1),
    ("alpha_mode", "int", 0, 2),
    ("alpha_velocity", "float", -2, 2),
    ("ticks_to_target", "int", 0, 80),
    ("algorithm", "int", 0, 2),
    ("contribution", "float", -1, 1),
    ("contribution_velocity", "float", -1, 1),
    ("gradient_norm", "float", 0, 20),
    ("gradient_health", "float", -1, 1),
    ("gradient_health_prev", "float", -1, 1),
    ("vanishing", "bool", 0, 1),
    ("exploding", "bool", 0, 1),
    ("interaction_sum", "float", -1, 1),
    ("boost_received", "float", 0, 1),
    ("interaction_age", "int", -1, 40),
)
STATE = StateSpec(
    (
        *(StateField(name, ("E",), dtype, "", "", low, high) for name, dtype, low, high in _BASE),
        StateField("loss_history", ("E", HISTORY), "float", "", "", -1, 200),
        StateField("accuracy_history", ("E", HISTORY), "float", "", "", -1, 1),
        *(StateField(name, ("E", "N"), dtype, "", "", low, high) for name, dtype, low, high in _SLOT),
    )
)


def _actions(slots: SlotConfig) -> ActionSpec:
    labels = tuple(f"blueprint_{i}" for i in range(13))
    return ActionSpec(
        heads=(
            Head("op", OPS),
            Head("slot", slots.slot_ids, ops=OPS[1:]),
            Head("blueprint", labels, ops=("GERMINATE",)),
        ),
        root="op",
        slot="slot",
    )


@pytest.fixture(scope="session")
def build() -> Callable[..., BuildContext]:
    """Return a function that makes a build context for N slots."""

    def make(num_slots: int = 3, dtype: torch.dtype = torch.float32) -> BuildContext:
        slots = SlotConfig.for_grid(1, num_slots)
        return BuildContext(
            slots=slots,
            actions=_actions(slots),
            state_spec=STATE,
            feature_schema=None,
            latent_dim=0,
            gamma=0.995,
            num_envs=2,
            seed=0,
            device="cpu",
            dtype=dtype,
        )

    return make


@pytest.fixture(scope="session")
def extractor(build: Callable[..., BuildContext]) -> Callable[..., ObsV3]:
    """Return a function that makes an extractor for N slots."""

    def make(num_slots: int = 3, dtype: torch.dtype = torch.float32, **options: float) -> ObsV3:
        return ObsV3(ObsV3Config(**options), build(num_slots, dtype))

    return make
