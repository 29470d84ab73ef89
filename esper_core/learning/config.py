"""Settings of the trainer, `train.*` on the command line."""

from __future__ import annotations

from attrs import frozen

from esper_core.contracts.options import option
from esper_core.learning.thresholds import chosen_thresholds


@frozen
class TrainConfig:
    """How a rollout is turned into gradient steps."""

    lr: float = option(3e-4, help="Adam's step size; higher learns faster and overshoots sooner.", low=0.0, high=1e3)
    lr_half_life: float = option(
        0.0,
        help="Updates over which the step size halves, again and again, so that a run settles; 0 keeps it.",
        low=0.0,
        high=1e9,
    )
    gamma: float = option(0.995, help="Discount per step; nearer 1 looks further ahead.", low=0.0, high=1.0)
    gae_lambda: float = option(
        0.95, help="Lower trusts the critic more (bias), higher the observed rewards (variance).", low=0.0, high=1.0
    )
    update_epochs: int = option(
        4, help="Times a rollout is learned from; the KL stop may end it.", low=1, high=100_000, renamed_from="passes"
    )
    num_minibatches: int = option(
        1, help="Parts an epoch is split into, by environment.", low=1, high=65536, renamed_from="minibatches"
    )
    rollout_steps: int = option(
        0,
        help="Steps that each row plays before an update, going on where the last ended; 0 plays whole episodes.",
        low=0,
        high=2**31 - 1,
    )
    bptt_steps: int = option(
        0,
        help="Steps that a memory is learned through at once; fewer are faster and forget sooner; 0 is all of them.",
        low=0,
        high=2**31 - 1,
    )
    max_grad_norm: float = option(
        1.0, help="Longest gradient; lower makes rare large steps safer; 0 is off.", low=0.0, high=1e9
    )
    normalise_returns: bool = option(
        True, help="The critic learns returns of mean 0 and spread 1, whatever the reward's unit."
    )
    teacher_weight: float = option(
        1.0,
        help="Weight of what a teacher (--use rule=NAME) would do, at first; it falls to 0 over teacher_updates.",
        low=0.0,
        high=1e6,
    )
    teacher_updates: int = option(
        100, help="Updates in which a teacher is asked; after that the policy learns by itself.", low=1, high=2**31 - 1
    )
    teacher_softness: float = option(
        0.0,
        help="Share of what a teacher would do that is spread over all that is legal, so that a rule that never varies "
        "leaves something to explore.",
        low=0.0,
        high=1.0,
    )
    teacher_entropy: float = option(
        0.0,
        help="Entropy of each head, as a fraction of ln k, below which it is pushed up while a teacher is asked.",
        low=0.0,
        high=1.0,
    )
    teacher_alone: int = option(
        0,
        help="Updates at first in which the policy learns from the teacher alone, and the critic as ever.",
        low=0,
        high=2**31 - 1,
    )
    critic_alone: int = option(
        0,
        help="Updates after these in which nothing but the critic learns, so that its errors do not ruin what was "
        "taught.",
        low=0,
        high=2**31 - 1,
    )
    leave_one_out: bool = option(
        False,
        help="What the other rows of an instance tell of its return joins the baseline; it needs an environment that "
        "plays instances in several rows (environment.repeats).",
    )
    warnings: bool = option(True, help="Warn when a metric leaves its healthy range, as listed in docs/metrics.md.")
    thresholds: tuple[str, ...] = option(
        (), help='Other bounds of warnings by name, such as ["ratio-exploded=5", "state-large=off"].'
    )

    @property
    def before_ppo(self) -> int:
        """Updates before the first in which the policy learns from rewards."""
        return self.teacher_alone + self.critic_alone

    def __attrs_post_init__(self) -> None:
        chosen_thresholds(self.thresholds)
