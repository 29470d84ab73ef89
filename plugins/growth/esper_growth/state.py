"""The state that growth publishes after every step. The environment owns every key; features and masks read it."""

from __future__ import annotations

from functools import partial

from esper_core import StateField, StateSpec
from esper_growth.actions import Algorithm, Op
from esper_growth.stages import AlphaMode, Stage

HISTORY = 5
"""Epochs of loss and accuracy history."""


def state_spec(epochs: int, num_blueprints: int) -> StateSpec:
    """Return the table of published fields for episodes of `epochs` epochs and `num_blueprints` labels."""

    def field(
        sizes: tuple[str | int, ...], name: str, dtype: str, unit: str, meaning: str, *bounds: float
    ) -> StateField:
        return StateField(name, sizes, dtype, unit, meaning, *bounds)

    env, slot, history = (partial(field, sizes) for sizes in (("E",), ("E", "N"), ("E", HISTORY)))
    earlier = "before the current one, oldest first; -1 where there was none"
    return StateSpec(
        (
            env("epoch", "int", "epochs", "epochs trained so far", 0, epochs),
            env("epochs_total", "int", "epochs", "epochs of the episode", epochs, epochs),
            env("loss", "float", "nats", "validation loss of the host with its seeds", 0, 5),
            env("accuracy", "float", "fraction", "validation accuracy of the host with its seeds"),
            history("loss_history", "float", "nats", f"validation losses {earlier}", -1, 5),
            history("accuracy_history", "float", "fraction", f"validation accuracies {earlier}", -1, 1),
            env("best_loss", "float", "nats", "lowest validation loss so far", 0, 5),
            env("best_accuracy", "float", "fraction", "highest validation accuracy so far"),
            env("plateau_epochs", "int", "epochs", "epochs in a row without 0.5 points gained", 0, 40),
            env("stabilized", "bool", "", "the host's loss has once been steady for three epochs"),
            env("host_parameters", "int", "parameters", "parameters of the host alone", 100, 100000),
            env("train_samples", "int", "samples", "training samples of the task", 1, 100000),
            env("axes", "int", "axes", "axes of space of a sample", 1, 2),
            env("seed_parameters", "int", "parameters", "parameters of all seeds present", 0, 100000),
            env("last_op", "int", "index", "operation of the last step; WAIT at the start", 0, len(Op) - 1),
            env("last_op_success", "bool", "", "the last operation took effect; true at the start"),
            env("auto_advance", "bool", "", "stages advance by themselves, so ADVANCE is never legal"),
            slot("stage", "int", "index", "stage of the slot (esper_growth.stages.Stage)", 1, len(Stage) - 1),
            slot("blueprint", "int", "index", "blueprint label of the seed; -1 without a seed", -1, num_blueprints - 1),
            slot("channels", "int", "channels", "channels at the slot; 0 where there is none", 0, 512),
            slot("age", "int", "epochs", "epochs since germination", 0, epochs),
            slot("epochs_in_stage", "int", "epochs", "epochs in the current stage", 0, epochs),
            slot("alpha", "float", "fraction", "amplitude of the seed's branch"),
            slot("alpha_target", "float", "fraction", "amplitude the controller is heading for"),
            slot(
                "alpha_mode", "int", "index", "HOLD, UP or DOWN (esper_growth.stages.AlphaMode)", 0, len(AlphaMode) - 1
            ),
            slot("alpha_velocity", "float", "1/epoch", "change of alpha at the last tick", -1, 1),
            slot("ticks_to_target", "int", "epochs", "controller ticks until the target", 0, 8),
            slot("algorithm", "int", "index", "ADD, MULTIPLY or GATE", 0, len(Algorithm) - 1),
            slot("contribution", "float", "fraction", "accuracy with minus without the seed; 0 until measured", -1, 1),
            slot("contribution_measured", "bool", "", "the contribution has been measured"),
            slot("contribution_velocity", "float", "fraction", "smoothed change of the contribution", -1, 1),
            slot("gradient_norm", "float", "", "L2 norm of the seed's gradients", 0, 20),
            slot("gradient_health", "float", "fraction", "1 when no tensor vanishes or explodes; -1 unmeasured", -1, 1),
            slot("gradient_health_prev", "float", "fraction", "the same one epoch before; -1 unmeasured", -1, 1),
            slot("vanishing", "bool", "", "some gradient tensor has a norm below 1e-7"),
            slot("exploding", "bool", "", "some gradient tensor has a norm above 10 or is not finite"),
            slot("interaction_sum", "float", "fraction", "sum of pair interactions with other seeds", -1, 1),
            slot("boost_received", "float", "fraction", "largest positive pair interaction"),
            slot("interaction_age", "int", "epochs", "epochs since interactions were measured; -1 never", -1, 40),
        )
    )
