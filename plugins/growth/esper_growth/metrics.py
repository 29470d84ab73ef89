"""The meanings of growth's metrics, all of them means over the episodes of an update."""

from __future__ import annotations

from esper_core.contracts.metrics import Metric

METRICS = (
    Metric(
        ("gain",),
        "validation accuracy with fossils alone, minus that of the static host",
        healthy="rises above 0",
    ),
    Metric(
        ("committed_accuracy", "full_accuracy", "static_accuracy"),
        "accuracy with fossils alone, with every seed, with none",
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
