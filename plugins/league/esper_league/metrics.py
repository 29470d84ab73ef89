"""The meanings of the metrics that opponents from a league add to an update."""

from __future__ import annotations

from esper_core.contracts.metrics import Metric

METRICS = (
    Metric(
        ("won_league",),
        "points per match against entries of the league, a draw counts a half; matches against itself are left out",
        healthy="rises; falls when stronger entries are met",
        label="won in the league",
        short="won league",
        headline=2,
    ),
    Metric(
        ("learner_rating",),
        "what the learner is rated by its matches in training, in the league's points; each update is a rating period",
        healthy="rises",
        label="learner's rating",
        short="rating",
        headline=2,
    ),
    Metric(("learner_rd",), "standard deviation of that rating, points"),
    Metric(("opponents",), "entries of the league from which opponents were drawn"),
    Metric(
        ("weight/<opponent>",),
        "share of the matches begun that an opponent was to be drawn for; (self) is the learner",
    ),
    Metric(("games/<opponent>", "won/<opponent>"), "matches against it that ended, and points per match"),
)
