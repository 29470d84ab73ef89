"""The meanings of growth's metrics, all of them means over the episodes of an update."""

from __future__ import annotations

from esper_core.contracts.metrics import Metric

METRICS = (
    Metric(
        ("committed_accuracy",),
        "validation accuracy with what was made permanent",
        label="grown hosts",
        short="grown",
        headline=3,
    ),
    Metric(
        ("static_accuracy",),
        "the same hosts when nothing is grown",
        label="static host",
        short="static",
        headline=4,
    ),
    Metric(
        ("gain",),
        "grown minus static",
        healthy="rises above 0",
        headline=2,
    ),
    Metric(
        ("return",),
        "gain minus rent and the price of operations and FLOPs",
        healthy="rises",
        headline=1,
    ),
    Metric(
        ("instance_weight",),
        "chance with which instances of the kinds that were played are drawn; only with `environment.instance_weights`",
        advice="its share of 1 that is missing is how much less often such kinds are played",
    ),
    Metric(
        ("full_accuracy",),
        "validation accuracy with every seed",
    ),
    Metric(
        ("uncommitted_gap",),
        "full minus committed accuracy",
        healthy="near 0",
        advice="the policy grows what it does not make permanent",
    ),
    Metric(
        ("fossils", "added_parameters"),
        "permanent seeds, and their parameters",
        healthy="above 0",
        headline=5,
    ),
    Metric(
        ("host_parameters",),
        "parameters of the bare hosts that the episodes drew",
    ),
    Metric(
        ("length",),
        "steps",
    ),
    Metric(
        ("rolled_back",),
        "share of episodes that the governor ended because the host diverged; a penalty is in place of their gain",
        healthy="0",
        advice="lower `environment.host_lr`, or set `environment.max_grad_norm`",
    ),
    Metric(
        ("scaffold/fossils",),
        "permanent seeds that another seed had helped",
    ),
    Metric(
        ("scaffold/boost_mean", "scaffold/boost_max"),
        "by how much helpers raised a fossil's contribution: the largest measured interaction above 0",
    ),
    Metric(
        ("scaffold/delay_mean", "scaffold/delay_max"),
        "epochs from that measurement to the fossilization, or from the removal of a helper that was pruned",
    ),
)
