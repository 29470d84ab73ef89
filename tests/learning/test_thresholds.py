"""Warnings begin exactly where a threshold is crossed, say which head and which value, and say it once."""

import pytest

from esper_core.learning.config import TrainConfig
from esper_core.learning.thresholds import THRESHOLDS, Watch, chosen_thresholds

TABLE = {threshold.name: threshold for threshold in THRESHOLDS}

HEALTHY = {
    "ratio_at_start": 1.0,
    "behaviour_log_prob_gap": 4e-7,
    "explained_variance": 0.4,
    "value_rmse": 0.03,
    "return_std": 0.125,
    "q_spread": 1e-3,
    "kl": 4e-3,
    "update_epochs_done": 4.0,
    "grad_norm": 1.2,
    "state_rms/h": 0.3,
    "state_rms/c": 0.9,
    "op/WAIT": 0.7,
    "op/GROW": 0.3,
}
"""A policy in the middle of learning, with the figures of a real run."""
HEAD = {"entropy": 0.4, "legal": 7.0, "used": 900.0, "used_share": 0.12, "ratio_max": 1.6, "clip_fraction": 0.02}
for _head in ("op", "blueprint"):
    HEALTHY |= {f"{metric}/{_head}": value for metric, value in {**HEAD, "grad_norm": 0.01}.items()}


HEALTHY |= {"entropy/aim": -1.3, "used/aim": 40.0, "used_share/aim": 0.03, "std/aim": 0.4, "saturated/aim": 0.1}
"""Numbers: their entropy is in nats, and none of these is a reason to warn."""


def look(metrics, update=100, settings=()):
    return Watch(chosen_thresholds(settings)).look(update, metrics)


def starred(bound):
    return bound.metric.replace("*", "WAIT" if bound.metric.startswith("op/") else "blueprint")


def at(bound, share, metrics):
    """Return the value that is `share` beyond a bound (negative: within it)."""
    unit = metrics[bound.unit] if bound.unit else 1.0
    step = share * max(abs(bound.value), 1e-12) * (1 if bound.side == "above" else -1)
    return (bound.value + step) * unit


def crossed(threshold):
    """Return healthy metrics but for those of one threshold, which are beyond its bounds by a hair."""
    metrics = dict(HEALTHY)
    for bound in (threshold.bound, *threshold.given):
        metrics[starred(bound)] = at(bound, 1e-3, metrics) if bound.value else 1.0
    if threshold.bound.metric.startswith("ratio_at"):
        metrics["ratio_at_start"] = at(threshold.bound, 1e-6, metrics)
    return metrics


def test_a_healthy_update_warns_of_nothing():
    assert look(HEALTHY) == []


@pytest.mark.parametrize("name", TABLE)
def test_it_begins_exactly_at_the_bound(name):
    threshold = TABLE[name]
    metrics = crossed(threshold)
    (warning,) = look(metrics)
    assert (warning.threshold, warning.metric) == (name, starred(threshold.bound))
    assert warning.value == metrics[warning.metric] and warning.bound == threshold.bound.value
    assert (warning.head is None) == ("*" not in threshold.bound.metric)
    for bound in (threshold.bound, *threshold.given):
        exactly = bound.value * (metrics[bound.unit] if bound.unit else 1.0)
        assert look({**metrics, starred(bound): exactly}) == [], "the bound itself is fine"
        assert look({**metrics, starred(bound): None}) == [], "what is undefined is no reason to warn"


@pytest.mark.parametrize("name", [threshold.name for threshold in THRESHOLDS if threshold.after])
def test_the_first_updates_are_not_looked_at(name):
    threshold = TABLE[name]
    assert look(crossed(threshold), update=threshold.after) == []
    assert [w.threshold for w in look(crossed(threshold), update=threshold.after + 1)] == [name]


def test_a_head_that_collapsed_before_it_was_used():
    metrics = {**HEALTHY, "entropy/blueprint": 0.04, "used/blueprint": 57.0, "used_share/blueprint": 0.03}
    (warning,) = look(metrics)
    assert warning.message == (
        "head blueprint: entropy 0.04 of ln 7 after being relevant in 3.0% of steps (collapsed before use)"
    )


def test_a_warning_that_lasts_keeps_its_beginning_and_one_that_comes_back_begins_anew():
    watch, bad = Watch(THRESHOLDS), {**HEALTHY, "state_rms/c": 12.0}
    since = [[w.since for w in watch.look(update, m)] for update, m in enumerate([HEALTHY, bad, bad, HEALTHY, bad], 1)]
    assert since == [[], [2], [2], [], [5]]


def test_half_precision_may_round():
    rounded = {**HEALTHY, "behaviour_log_prob_gap": 0.02, "ratio_at_start": 1.02}
    assert [w.threshold for w in look(rounded)] == ["ratio-starts-high", "acting-differs"]
    assert Watch(chosen_thresholds((), half=True)).look(1, rounded) == []
    far = {**HEALTHY, "behaviour_log_prob_gap": 0.2, "ratio_at_start": 0.8}
    found = Watch(chosen_thresholds(("acting-differs=0.05",), half=True)).look(1, far)
    assert [(w.threshold, w.bound) for w in found] == [("ratio-starts-low", 0.9), ("acting-differs", 0.05)]


def test_bounds_can_be_moved_and_dropped():
    metrics = {**HEALTHY, "state_rms/c": 12.0, "ratio_max/op": 6.0}
    assert [w.threshold for w in look(metrics)] == ["state-large"]
    (warning,) = look(metrics, settings=("state-large=off", "ratio-exploded = 5"))
    assert (warning.threshold, warning.bound) == ("ratio-exploded", 5.0)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("ratio-explode=5", r"no threshold 'ratio-explode' \(Did you mean 'ratio-exploded'\?\)"),
        ("ratio-exploded", "neither NAME=NUMBER nor NAME=off"),
    ],
)
def test_settings_that_cannot_be_meant(setting, words):
    with pytest.raises(ValueError, match=words):
        TrainConfig(thresholds=(setting,))
