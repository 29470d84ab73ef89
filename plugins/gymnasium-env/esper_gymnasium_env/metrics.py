"""What the metrics of a Gymnasium environment mean, means over the episodes of an update."""

from __future__ import annotations

from esper_core.contracts.metrics import Metric

METRICS = (
    Metric(("return",), "sum of the rewards of an episode", healthy="rises", headline=1),
    Metric(("length",), "steps of an episode", headline=5),
)
