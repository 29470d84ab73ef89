"""The state that growth publishes after every step. The environment owns every key; features and masks read it."""

from __future__ import annotations

from esper_core import StateField, StateSpec
from esper_growth.actions import Algorithm, Op
from esper_growth.stages import AlphaMode, Stage

HISTORY = 5
"""Epochs of loss and accuracy history."""


def state_spec(epochs: int, num_blueprints: int) -> StateSpec:
    """Return the table of published fields for episodes of `epochs` epochs and `num_blueprints` labels."""
    env, slot = ("E",), ("E", "N")
    return StateSpec(
        (
            StateField("epoch", env, "int", "epochs", "epochs trained so far", 0, epochs),
            StateField("epochs_total", env, "int", "epochs", "epochs of the episode", epochs, epochs),
            StateField("loss", env, "float", "nats", "validation loss of the host with its seeds", 0, 5),
            StateField("accuracy", env, "float", "fraction", "validation accuracy of the host with its seeds"),
            StateField(
                "loss_history",
                ("E", HISTORY),
                "float",
                "nats",
                "validation losses before the current one, oldest first; -1 where there was none",
                -1,
                5,
            ),
            StateField(
                "accuracy_history",
                ("E", HISTORY),
                "float",
                "fraction",
                "validation accuracies before the current one, oldest first; -1 where there was none",
                -1,
                1,
            ),
            StateField("best_loss", env, "float", "nats", "lowest validation loss so far", 0, 5),
            StateField("best_accuracy", env, "float", "fraction", "highest validation accuracy so far"),
            StateField("plateau_epochs", env, "int", "epochs", "epochs in a row without 0.5 points gained", 0, 40),
            StateField("stabilized", env, "bool", "", "the host's loss has once been steady for three epochs"),
            StateField("host_parameters", env, "int", "parameters", "parameters of the host alone", 100, 100000),
            StateField("train_samples", env, "int", "samples", "training samples of the task", 1, 100000),
            StateField("axes", env, "int", "axes", "axes of space of a sample", 1, 2),
            StateField("seed_parameters", env, "int", "parameters", "parameters of all seeds present", 0, 100000),
            StateField("last_op", env, "int", "index", "operation of the last step; WAIT at the start", 0, len(Op) - 1),
            StateField("last_op_success", env, "bool", "", "the last operation took effect; true at the start"),
            StateField("auto_advance", env, "bool", "", "stages advance by themselves, so ADVANCE is never legal"),
            StateField(
                "stage", slot, "int", "index", "stage of the slot (esper_growth.stages.Stage)", 1, len(Stage) - 1
            ),
            StateField(
                "blueprint",
                slot,
                "int",
                "index",
                "blueprint label of the seed; -1 without a seed",
                -1,
                num_blueprints - 1,
            ),
            StateField("channels", slot, "int", "channels", "channels at the slot", 1, 512),
            StateField("age", slot, "int", "epochs", "epochs since germination", 0, epochs),
            StateField("epochs_in_stage", slot, "int", "epochs", "epochs in the current stage", 0, epochs),
            StateField("alpha", slot, "float", "fraction", "amplitude of the seed's branch"),
            StateField("alpha_target", slot, "float", "fraction", "amplitude the controller is heading for"),
            StateField(
                "alpha_mode",
                slot,
                "int",
                "index",
                "HOLD, UP or DOWN (esper_growth.stages.AlphaMode)",
                0,
                len(AlphaMode) - 1,
            ),
            StateField("alpha_velocity", slot, "float", "1/epoch", "change of alpha at the last tick", -1, 1),
            StateField("ticks_to_target", slot, "int", "epochs", "controller ticks until the target", 0, 8),
            StateField("algorithm", slot, "int", "index", "ADD, MULTIPLY or GATE", 0, len(Algorithm) - 1),
            StateField(
                "contribution",
                slot,
                "float",
                "fraction",
                "validation accuracy with everything minus without this seed; 0 until measured",
                -1,
                1,
            ),
            StateField("contribution_measured", slot, "bool", "", "the contribution has been measured"),
            StateField(
                "contribution_velocity", slot, "float", "fraction", "smoothed change of the contribution", -1, 1
            ),
            StateField("gradient_norm", slot, "float", "", "L2 norm of the seed's gradients", 0, 20),
            StateField(
                "gradient_health",
                slot,
                "float",
                "fraction",
                "1 when no tensor vanishes or explodes; -1 unmeasured",
                -1,
                1,
            ),
            StateField(
                "gradient_health_prev",
                slot,
                "float",
                "fraction",
                "gradient health one epoch before; -1 unmeasured",
                -1,
                1,
            ),
            StateField("vanishing", slot, "bool", "", "some gradient tensor has a norm below 1e-7"),
            StateField("exploding", slot, "bool", "", "some gradient tensor has a norm above 10 or is not finite"),
            StateField(
                "interaction_sum", slot, "float", "fraction", "sum of pair interactions with other seeds", -1, 1
            ),
            StateField("boost_received", slot, "float", "fraction", "largest positive pair interaction"),
            StateField(
                "interaction_age", slot, "int", "epochs", "epochs since interactions were measured; -1 never", -1, 40
            ),
        )
    )
