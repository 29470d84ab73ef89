"""What the metrics of the loss mean."""

from __future__ import annotations

from esper_core.contracts.metrics import Metric

METRICS = (
    Metric(
        ("clip_fraction", "clip_fraction/<head>"),
        "share of choices whose ratio is beyond the clip range, mean over the gradient steps",
        healthy="below 0.2",
        advice="see `clipped-often`",
    ),
    Metric(
        ("policy_loss", "value_loss", "entropy"),
        "terms of the loss, mean over the gradient steps",
    ),
)
