"""The description of a growth environment, without building it."""

from __future__ import annotations

from esper_core import EnvironmentDescription, Outcome, SlotConfig, SlotWords
from esper_growth.actions import NOOP, action_spec
from esper_growth.config import GrowthConfig
from esper_growth.privileged import MEANINGS
from esper_growth.state import state_spec

OUTCOMES = (
    Outcome("test_accuracy", "fraction", "accuracy on the test split with fossils alone in the host", True),
    Outcome("added_parameters", "parameters", "parameters of the fossils", False),
    Outcome("training_flops", "operations", "operations of training the host and its seeds", False),
    Outcome(
        "alpha_shock",
        "fraction",
        "largest fall of validation accuracy in an epoch before which an alpha or a blend changed",
        False,
    ),
)

NET = Outcome("net_accuracy", "fraction", "test accuracy less the price of the seeds' training FLOPs", True)
"""What is compared first where FLOPs have a price."""

WORLD = ("host_parameters", "channels", "train_samples", "axes")
"""What is trained; `features.world` shows the same."""

SLOT_WORDS = SlotWords("What grew", content="blueprint", thing="seed", whole="host", whole_parameters="host_parameters")


def describe(config: GrowthConfig, slots: SlotConfig) -> EnvironmentDescription:
    """Return actions, state, horizon and the blueprints drawn on, without building anything.

    `noop` stays in the head without a component behind it: it is never legal.
    """
    return EnvironmentDescription(
        actions=action_spec(slots, config.blueprints),
        state=state_spec(config.epochs, len(config.blueprints)),
        horizon=config.epochs,
        uses={"blueprint": tuple(label for label in config.blueprints if label != NOOP)},
        outcomes=(NET, *OUTCOMES) if config.reward_flops else OUTCOMES,
        slot_words=SLOT_WORDS,
        replayable=True,
        shares=True,
        privileged=MEANINGS,
        repeats=config.repeats,
        world=WORLD,
    )
