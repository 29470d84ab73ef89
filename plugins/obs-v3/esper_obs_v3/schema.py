"""The layout of `obs-v3` and `obs-slots` as data, without torch: names, formulas, ranges and the fields of the state.

The table is Observation V3 with action feedback. Losses are scaled by ln(1 + loss) / ln 11, accuracies are fractions,
"points" are hundredths. A value that does not exist yet is −1, because 0 would be a plausible measurement.

`obs-slots` differs in the slot blocks alone, so that they mean the same for every number of slots.
"""

from __future__ import annotations

from esper_core.contracts.actions import ActionSpec, Head
from esper_core.contracts.errors import IncompatiblePlan
from esper_core.contracts.features import PRESENT, Feature, FeatureSchema, IndexField
from esper_core.contracts.slots import SlotConfig
from esper_core.contracts.state import StateSpec
from esper_obs_v3.config import ObsSlotsConfig, ObsV3Config

STAGES = (
    "UNKNOWN",
    "DORMANT",
    "GERMINATED",
    "TRAINING",
    "BLENDING",
    "HOLDING",
    "FOSSILIZED",
    "PRUNED",
    "EMBARGOED",
    "RESETTING",
)
"""Meaning of the state field `stage`, index by index."""

COUNTED_STAGES = ("TRAINING", "BLENDING", "HOLDING")
HISTORY = 5
LOSS_CEILING = 2.0
"""Scaled losses are cut here: a loss of 120."""

WORLD = (
    Feature("host_size", "clamp(log10(host_parameters / 100) / 3, 0, 1)", 0, 1, "host_parameters"),
    Feature("host_width", "clamp(mean over slots of log2(channels / 16), ±2)", -2, 2, "channels"),
    Feature("train_samples", "clamp(ln(train_samples / 1000), ±2)", -2, 2, "train_samples"),
    Feature("two_axes", "samples have two axes of space or more", 0, 1, "axes"),
)
"""What is trained, which stays the same during an episode."""

SLOTS_READ = ("channels",)
"""What `obs-slots` reads beyond `READS`."""

READS = (
    "epoch",
    "epochs_total",
    "loss",
    "accuracy",
    "loss_history",
    "accuracy_history",
    "best_loss",
    "best_accuracy",
    "plateau_epochs",
    "stabilized",
    "seed_parameters",
    "last_op",
    "last_op_success",
    "stage",
    "blueprint",
    "epochs_in_stage",
    "alpha",
    "alpha_target",
    "alpha_mode",
    "alpha_velocity",
    "ticks_to_target",
    "algorithm",
    "contribution",
    "contribution_velocity",
    "gradient_norm",
    "gradient_health",
    "gradient_health_prev",
    "vanishing",
    "exploding",
    "interaction_sum",
    "boost_received",
    "interaction_age",
)


def describe(config: ObsV3Config, slots: SlotConfig, actions: ActionSpec, state_spec: StateSpec) -> FeatureSchema:
    """Return the schema for these slots and actions.

    Raises:
        IncompatiblePlan: the environment has no operation or blueprint head, or publishes histories or stages of
            another size.
    """
    _check_state(config, state_spec)
    operations, blueprints = _head(actions, actions.root or "op"), _head(actions, "blueprint")
    return FeatureSchema(
        base=_base(config, operations),
        per_slot=_slots(config),
        num_slots=slots.num_slots,
        indices=(IndexField("blueprint", slots.num_slots, blueprints.size, per_slot=True),),
    )


def _head(actions: ActionSpec, name: str) -> Head:
    if name not in actions.names:
        raise IncompatiblePlan(
            f"Features 'obs-v3' need an action head '{name}'; the environment's heads are {', '.join(actions.names)}.",
            hint="Use --features flat, which fits any environment.",
        )
    return actions.category(name)


def _check_state(config: ObsV3Config, state_spec: StateSpec) -> None:
    for feature in WORLD if config.world else ():
        if feature.source not in state_spec.names:
            raise IncompatiblePlan(
                f"Features 'obs-v3' with features.world=true read '{feature.source}', which the environment does not "
                "publish.",
                hint="Leave features.world out.",
            )
    for name in ("loss_history", "accuracy_history"):
        if name in state_spec.names and state_spec[name].shape != ("E", HISTORY):
            raise IncompatiblePlan(
                f"Features 'obs-v3' read {HISTORY} epochs of '{name}'; the environment publishes "
                f"{state_spec[name].shape}.",
                hint="Use --features flat, which fits any environment.",
            )
    if "stage" in state_spec.names and state_spec["stage"].high >= len(STAGES):
        raise IncompatiblePlan(
            f"Features 'obs-v3' know {len(STAGES)} stages; the environment publishes stages up to "
            f"{state_spec['stage'].high:g}.",
            hint="Use --features flat, which fits any environment.",
        )


def _base(config: ObsV3Config, operations: Head) -> tuple[Feature, ...]:
    past = range(HISTORY, 0, -1)
    return (
        Feature("epoch_progress", "epoch / epochs_total", 0, 1, "epoch, epochs_total"),
        Feature("loss", "scaled(loss) = clamp(ln(1 + loss) / ln 11, 0, 2)", 0, LOSS_CEILING, "loss"),
        Feature(
            "loss_delta", "clamp(previous loss - loss, ±2) / 2; 0 without a previous one", -1, 1, "loss, loss_history"
        ),
        Feature("accuracy", "accuracy", 0, 1, "accuracy"),
        Feature(
            "accuracy_delta",
            "clamp(points gained since the previous epoch, ±10) / 10; 0 without a previous one",
            -1,
            1,
            "accuracy, accuracy_history",
        ),
        Feature("plateau", "clamp(plateau_epochs, 0, 20) / 20", 0, 1, "plateau_epochs"),
        Feature("host_stabilized", "stabilized", 0, 1, "stabilized"),
        *(
            Feature(f"loss_{k}_ago", f"scaled(loss {k} epochs before); -1 if none", -1, LOSS_CEILING, "loss_history")
            for k in past
        ),
        *(
            Feature(f"accuracy_{k}_ago", f"accuracy {k} epochs before; -1 if none", -1, 1, "accuracy_history")
            for k in past
        ),
        Feature("best_accuracy", "best_accuracy", 0, 1, "best_accuracy"),
        Feature("best_loss", "scaled(best_loss)", 0, LOSS_CEILING, "best_loss"),
        Feature(
            "params_utilization",
            f"clamp(ln(1 + seed_parameters) / ln(1 + {config.parameter_budget}), 0, 1)",
            0,
            1,
            "seed_parameters",
        ),
        Feature("slot_utilization", "active slots / N", 0, 1, "stage, blueprint"),
        *(Feature(f"{s.lower()}_share", f"slots in {s} / N", 0, 1, "stage") for s in COUNTED_STAGES),
        Feature("last_op_success", "last_op_success", 0, 1, "last_op_success"),
        *(Feature(f"last_op.{label}", f"last_op is {label}", 0, 1, "last_op") for label in operations.labels),
        *(WORLD if config.world else ()),
    )


def _per_slot(config: ObsV3Config) -> tuple[Feature, ...]:
    blanked = "" if isinstance(config, ObsSlotsConfig) else "; if not, the whole block is 0"
    return (
        Feature("is_active", f"not DORMANT, or holding a seed{blanked}", 0, 1, "stage, blueprint"),
        *(Feature(f"stage.{s}", f"stage is {s}", 0, 1, "stage") for s in STAGES),
        Feature("alpha", "alpha", 0, 1, "alpha"),
        Feature("alpha_target", "alpha_target", 0, 1, "alpha_target"),
        Feature("alpha_mode", "alpha_mode / 2: HOLD 0, UP 0.5, DOWN 1", 0, 1, "alpha_mode"),
        Feature("alpha_velocity", "clamp(alpha_velocity, ±1)", -1, 1, "alpha_velocity"),
        Feature("time_to_target", "clamp(ticks_to_target / epochs_total, 0, 1)", 0, 1, "ticks_to_target, epochs_total"),
        Feature("algorithm", "algorithm / 2: ADD 0, MULTIPLY 0.5, GATE 1", 0, 1, "algorithm"),
        Feature("contribution", "clamp(points contributed, ±10) / 10", -1, 1, "contribution"),
        Feature("contribution_velocity", "clamp(points per epoch, ±10) / 10", -1, 1, "contribution_velocity"),
        Feature(
            "epochs_in_stage", "clamp(epochs_in_stage / epochs_total, 0, 1)", 0, 1, "epochs_in_stage, epochs_total"
        ),
        Feature("gradient_norm", "clamp(gradient_norm, 0, 10) / 10", 0, 1, "gradient_norm"),
        Feature("gradient_health", "gradient_health; -1 unmeasured", -1, 1, "gradient_health"),
        Feature("gradient_health_prev", "gradient_health_prev; -1 unmeasured", -1, 1, "gradient_health_prev"),
        Feature("has_vanishing", "vanishing", 0, 1, "vanishing"),
        Feature("has_exploding", "exploding", 0, 1, "exploding"),
        Feature("interaction_sum", "clamp(points of interaction, 0, 10) / 10", 0, 1, "interaction_sum"),
        Feature("boost_received", "clamp(points of the largest boost, 0, 5) / 5", 0, 1, "boost_received"),
        *_neighbours(config),
        Feature(
            "counterfactual_fresh",
            f"{config.freshness_decay:g} ^ interaction_age; -1 if never measured",
            -1,
            1,
            "interaction_age",
        ),
    )


def _neighbours(config: ObsV3Config) -> tuple[Feature, ...]:
    """Return what a slot sees of earlier and later ones: a number of seeds, up to 3, or a share of all other slots."""
    share, number = "sum of alpha in {} slots / (N - 1)", "clamp(sum of alpha in {} slots, 0, 3) / 3"
    formula = share if isinstance(config, ObsSlotsConfig) else number
    return tuple(
        Feature(f"{where}_alpha", formula.format(which), 0, 1, "alpha")
        for where, which in (("upstream", "earlier"), ("downstream", "later"))
    )


def _slots(config: ObsV3Config) -> tuple[Feature, ...]:
    """Return the block of a slot."""
    if not isinstance(config, ObsSlotsConfig):
        return _per_slot(config)
    position = Feature("position", "place / (N - 1), from 0; 0.5 where there is but one", 0, 1, "")
    return (
        *_per_slot(config),
        *((position,) if config.position else ()),
        Feature("width", "clamp(log2(channels / 16), ±4) / 4; 0 for padding", -1, 1, "channels"),
        Feature(PRESENT, "channels > 0; padding is no slot", 0, 1, "channels"),
    )
