"""Options of growth's components."""

from __future__ import annotations

from attrs import frozen

from esper_core import option
from esper_growth.actions import BLUEPRINT_TOPOLOGY
from esper_growth.instance_weights import InstanceWeights


@frozen
class GrowthConfig:
    """Options of the environment `growth`."""

    epochs: int = option(40, low=1, high=100_000, help="Host epochs per episode; one step is one epoch.")
    blueprints: tuple[str, ...] = option(
        tuple(BLUEPRINT_TOPOLOGY), converter=tuple, help="Labels of the blueprint head; a label may name any blueprint."
    )
    auto_advance: bool = option(
        True, help="Stages advance by themselves when their gate passes; ADVANCE is then illegal."
    )
    instances: int = option(
        16, low=1, high=1_000_000, help="Host initialisations and data orders that episodes are drawn from."
    )
    first_instance: int = option(
        0, low=0, high=2**31, help="Number of the first instance; disjoint ranges never share a host."
    )
    repeats: int = option(
        1,
        low=1,
        high=1024,
        help="Rows, side by side, that train the same instance; what they share of the return can leave the baseline.",
        matters=False,
    )
    instance_weights: tuple[str, ...] = option(
        (),
        converter=tuple,
        help="Chance that a drawn instance of a kind is played and no other drawn for it, from 0.01 to 1, such as "
        '["digits capable=0.25", "narrow=0.5"]; the first that fits counts. Evaluation is the same.',
        matters=False,
    )
    batch_size: int = option(100, low=1, high=1_000_000, help="Training samples per host step.")
    host_lr: float = option(0.05, low=0.0, high=1e12, help="Learning rate of host and seeds (SGD).")
    momentum: float = option(0.9, low=0.0, high=1.0, help="Momentum of host and seeds.")
    max_grad_norm: float = option(
        0.0, low=0.0, high=1e9, help="Gradient norm bound for the host and for each seed; 0 is off."
    )
    rent: float = option(
        0.02, low=0.0, high=1e6, help="Price of an episode at full growth: rent·ln(1 + growth), spread over epochs."
    )
    reward_flops: float = option(
        0.0,
        low=0.0,
        high=1e6,
        help="Price of training FLOPs: what as many as the bare host needs for a whole episode cost, in accuracy; the "
        "bare host's own are free.",
    )
    operation_cost: float = option(0.001, low=0.0, high=1e6, help="Price of every operation that is not WAIT.")
    shaping: float = option(
        0.02, low=0.0, high=1e6, help="Scale of the potential that guides seeds through their stages."
    )
    governor: bool = option(
        True,
        help="Restore a diverging host from its last good snapshot and end its episode; false: a loss that is not"
        " finite ends the run.",
    )
    governor_loss: float = option(
        12.0,
        low=0.0,
        high=1e9,
        help="Validation loss, in nats, above which a host may be diverging; lower is stricter.",
    )
    governor_sigmas: float = option(
        6.0, low=0.0, high=1e9, help="Standard deviations above its mean that a diverging loss is; lower is stricter."
    )
    governor_patience: int = option(
        3,
        low=1,
        high=1_000_000,
        help="Epochs in a row that a loss explodes before the host is restored; fewer is stricter.",
    )
    governor_penalty: float = option(
        1.0,
        low=0.0,
        high=1e6,
        help="Paid for a host that diverged, in place of its gain at the end of the episode.",
    )
    snapshot_every: int = option(
        5,
        low=1,
        high=1_000_000,
        help="Epochs between snapshots of a host; a new fossil is an extra reason for one.",
    )
    runtime: str = option(
        "auto",
        choices=("auto", "engine", "loop", "fused"),
        help="engine: compiled code for the CPU; loop: plain PyTorch; fused: a few hosts as one network, for GPUs; "
        "auto: what is fastest here.",
    )
    hosts_per_group: int = option(
        0,
        low=0,
        high=65536,
        help="Hosts that runtime=fused makes one network of; 0 is all that are alike.",
    )
    workers: int = option(
        0,
        low=0,
        high=1024,
        help="Processes that train hosts side by side; 0 is one per core, 1 needs no other; on a GPU it is always one.",
    )

    def __attrs_post_init__(self) -> None:
        InstanceWeights.of(self.instance_weights)


@frozen
class ByKindConfig:
    """Options of the rule `by-kind`."""

    rules: tuple[str, ...] = option(
        (),
        converter=tuple,
        help='What to do where state fields have these values, such as ["axes=1 host_parameters=354: plateau"]; the '
        "first that fits counts. `python benchmarks/best_rules.py` chooses them on training instances.",
    )
    otherwise: str = option("static", help="Rule for everything else.")


@frozen
class DigitsConfig:
    """Options of the task `digits`."""

    train_samples: int = option(1000, low=10, high=1000, help="Training samples; fewer make the task harder.")
    seed: int = option(0, low=0, help="Which training samples are kept, where not all are; 0 keeps the first.")


@frozen
class Mnist1dConfig:
    """Options of the task `mnist1d`."""

    shuffle: bool = option(
        False, help="Apply one permutation to the positions of all samples: neighbours then carry no information."
    )
    noise: float = option(0.25, low=0.0, high=1e6, help="Scale of the noise around the digit, which looks like digits.")
    samples: int = option(
        5000, low=100, high=1_000_000, help="Samples drawn: 64 % to train on, 16 % to validate, 20 % to test."
    )
    train_samples: int = option(3200, low=10, help="Training samples kept, at most; fewer make the task harder.")
    seed: int = option(0, low=0, help="Which curves are drawn, and which permutation.")


@frozen
class MixedTaskConfig:
    """Options of the task `mixed`: what every instance draws from, each with equal chances."""

    tasks: tuple[str, ...] = option(
        ("digits", "digits", "digits", "mnist1d", "mnist1d-shuffled"),
        converter=tuple,
        help="digits, mnist1d or mnist1d-shuffled; one that is named twice is drawn twice as often.",
    )
    train_samples: tuple[int, ...] = option((100, 400), converter=tuple, help="Training samples.")
    noise: tuple[float, ...] = option((0.15, 0.25, 0.35), converter=tuple, help="Scale of the noise of mnist1d.")
    samples: int = option(
        2500, low=100, high=1_000_000, help="Samples of mnist1d: 64 % to train on, 16 % to validate, 20 % to test."
    )


@frozen
class DriftConfig:
    """Options of the task `drift`."""

    changes: tuple[str, ...] = option(
        ("classes", "permutation", "order"),
        converter=tuple,
        help="How instances change, each with equal chances: classes (new ones arrive), permutation (points of curves "
        "change places) or order (points that were shuffled return to their places).",
    )
    earliest: int = option(10, low=1, high=99_999, help="First epoch at which an instance may change.")
    latest: int = option(30, low=1, high=99_999, help="Last such epoch; below environment.epochs.")
    train_samples: int = option(400, low=10, help="Training samples.")
    noise: float = option(0.15, low=0.0, high=1e6, help="Scale of the noise around the digit, which looks like digits.")
    samples: int = option(
        2500, low=100, high=1_000_000, help="Curves: 64 % to train on, 16 % to validate, 20 % to test."
    )

    def __attrs_post_init__(self) -> None:
        if self.earliest > self.latest:
            raise ValueError(f"earliest={self.earliest} is after latest={self.latest}")


@frozen
class MixedHostConfig:
    """Options of the host `mixed`."""

    hosts: tuple[str, ...] = option(
        ("pointwise", "pointwise", "narrow", "capable", "capable"),
        converter=tuple,
        help="Architectures that instances draw from, by name; one that is named twice is drawn twice as often.",
    )
    capable_width: int = option(
        32, low=8, high=4096, help="Channels of a `capable` host, a multiple of 8; costs grow with their square."
    )

    def __attrs_post_init__(self) -> None:
        if self.capable_width % 8:
            raise ValueError(f"capable_width={self.capable_width} is no multiple of 8, the groups of its norms")


@frozen
class Cifar10Config:
    """Options of the task `cifar10`."""

    data_dir: str = option("", help="Directory with the files of CIFAR-10's binary version.")
    train_samples: int = option(45_000, low=10, help="Training images kept, at most; fewer make the task harder.")


@frozen
class UniformConfig:
    """Options of a host whose blocks are all of one width."""

    width: int = option(16, low=1, high=4096, help="Channels of every block.")
    groups: int = option(8, low=1, high=4096, help="Groups of every GroupNorm; must divide the width.")

    def __attrs_post_init__(self) -> None:
        if self.width % self.groups:
            raise ValueError(f"groups={self.groups} does not divide width={self.width}")


@frozen
class PointwiseConfig(UniformConfig):
    """Options of the host `pointwise`."""


@frozen
class NarrowConfig(UniformConfig):
    """Options of the host `narrow`."""

    width: int = option(6, low=1, high=4096, help="Channels of every block.")
    groups: int = option(2, low=1, high=4096, help="Groups of every GroupNorm; must divide the width.")


@frozen
class CapableConfig(UniformConfig):
    """Options of the host `capable`."""

    width: int = option(32, low=1, high=4096, help="Channels of every block.")


@frozen
class SyntheticConfig:
    """Options of the task `synthetic`."""

    samples: int = option(256, low=1, high=1_000_000, help="Training samples.")
    channels: int = option(3, low=1, high=4096, help="Channels of an image.")
    size: int = option(32, low=2, high=4096, help="Height and width of an image.")
    classes: int = option(10, low=2, high=65536, help="Classes.")
    noise: float = option(
        1.0, low=0.0, high=1e6, help="Spread of the noise on every pixel; a class' blob is about 1 high."
    )


@frozen
class ConvConfig(UniformConfig):
    """Options of the host `conv`."""

    width: int = option(
        8, low=1, high=4096, help="Channels of the first block; the second has twice, the third four times as many."
    )


@frozen
class AttentionConfig:
    """Options of the blueprint `attention`."""

    reduction: int = option(
        4, low=1, high=65536, help="Channels per hidden unit of the squeeze; larger is smaller and cheaper."
    )


@frozen
class BottleneckConfig:
    """Options of the blueprint `bottleneck`."""

    reduction: int = option(4, low=1, high=4096, help="Channels per bottleneck channel; at least 8 channels are kept.")


@frozen
class TransformerConfig:
    """Options of the host `transformer`."""

    width: int = option(16, low=1, high=4096, help="Channels of every position.")
    patch: int = option(4, low=1, high=4096, help="Points of a patch; must divide the length of the inputs.")
    middle: int = option(8, low=1, high=4096, help="Channels in the middle of every perceptron.")


@frozen
class LoraConfig:
    """Options of the blueprint `lora`."""

    rank: int = option(8, low=1, high=4096, help="Rank of the linear map.")


@frozen
class LoraLargeConfig(LoraConfig):
    """Options of the blueprint `lora-large`."""

    rank: int = option(32, low=1, high=4096, help="Rank of the linear map.")
