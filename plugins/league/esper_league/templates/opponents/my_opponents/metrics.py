"""What the metrics of the opponents mean."""

from __future__ import annotations

from esper_core.contracts.metrics import Metric

METRICS = (
    Metric(("won_itself",), "share of the learner's matches against itself that it has won, since the run began"),
)
