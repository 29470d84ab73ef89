"""The meanings of echelon's metrics, all of them means over the matches or rows that ended in an update."""

from __future__ import annotations

from esper_core.contracts.metrics import Metric

METRICS = (
    Metric(
        ("won",),
        "share of the matches that were won; a draw counts a half",
        healthy="rises",
        label="matches won",
        short="won",
        headline=2,
    ),
    Metric(
        ("weapon_prob",),
        "how likely a mech of the other team that wanted to fire could",
        label="weapons of the other team",
        short="weapons",
        headline=3,
    ),
    Metric(("map_size",), "side of the map, m", label="map, m", short="map", headline=4),
    Metric(("packs",), "packs of a team", headline=5),
    Metric(("margin",), "score in the zone less that of the other team, points", healthy="rises", headline=6),
    Metric(("survivors", "losses_caused"), "share of the own team alive, and of the other team dead, in the end"),
    Metric(("length", "match_length"), "decisions until a mech died or its match was over, and until that alone"),
    Metric(("ended/zone", "ended/elimination", "ended/time"), "share of the matches that ended so"),
    Metric(("reward/<part>",), "what a row was paid in its episode, by component of the reward"),
    Metric(
        ("bad_actions",),
        "numbers of actions in a match that were not finite, and became 0",
        healthy="0",
        advice="the policy has gone wrong: see `skipped_updates`",
    ),
)
