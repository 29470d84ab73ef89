"""When a metric is worth a warning: a table, and the watch that compares updates with it. Torch is not imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define, evolve, field, frozen

from esper_core.contracts.errors import did_you_mean

Metrics = Mapping[str, float | None]


@frozen
class Bound:
    """A metric above or below a value.

    Attributes:
        metric: Name of the metric. A `*` at its end stands for every head (or operation, or part of the state).
        side: 'above' or 'below'.
        unit: Metric by which the value is divided first; empty for none.
    """

    metric: str
    side: str
    value: float
    unit: str = ""

    def crossed(self, metrics: Metrics, head: str) -> bool:
        """Return whether the metric is beyond the bound; what is undefined is not."""
        value = metrics.get(self.metric.replace("*", head))
        if self.unit and value is not None:
            unit = metrics.get(self.unit)
            value = value / unit if unit else None
        if value is None:
            return False
        return value < self.value if self.side == "below" else value > self.value


@frozen
class Threshold:
    """A row of the table.

    Attributes:
        bound: When to warn.
        message: What to say. `{value}` is the metric, `{head}` what its `*` stands for; other metrics go by their name,
            and those of the same head by their name without it.
        given: Further bounds that must be crossed at the same time, of the same head.
        after: Updates at the start of a run that are not looked at.
        half: The bound where the policy computes in half precision, whose rounding is not a fault; None for the same.
    """

    name: str
    bound: Bound
    message: str
    given: tuple[Bound, ...] = ()
    after: int = 0
    half: float | None = None

    def at(self, value: float) -> Threshold:
        """Return the threshold with its bound at another value."""
        return evolve(self, bound=evolve(self.bound, value=value))


@frozen
class LearningWarning:
    """A threshold that a metric is beyond since an update; `head` is what its `*` stands for, None without one."""

    threshold: str
    metric: str
    head: str | None
    value: float
    bound: float
    since: int
    message: str


_CATEGORIES = Bound("legal/*", "above", 1.0)
"""The head is one of categories: that of numbers has an entropy of another kind, and no legal entries."""

THRESHOLDS: tuple[Threshold, ...] = (
    Threshold(
        "collapsed-before-use",
        Bound("entropy/*", "below", 0.1),
        "head {head}: entropy {value:.2g} of ln {legal:.3g} after being relevant in {used_share:.1%} of steps"
        " (collapsed before use)",
        given=(Bound("used_share/*", "below", 0.1), Bound("used/*", "below", 500), _CATEGORIES),
    ),
    Threshold(
        "operation-certain",
        Bound("entropy/op", "below", 0.01),
        "head op: entropy {value:.2g} of ln {legal:.3g}; nothing else is tried any more",
        given=(Bound("legal/op", "above", 1.0),),
    ),
    Threshold(
        "deviation-collapsed",
        Bound("std/*", "below", 0.02),
        "head {head}: standard deviation {value:.2g}; hardly anything else is tried any more",
    ),
    Threshold(
        "actions-saturated",
        Bound("saturated/*", "above", 0.5),
        "head {head}: {value:.0%} of the numbers drawn lie at their bounds",
    ),
    Threshold("one-operation", Bound("op/*", "above", 0.99), "operation {head}: taken in {value:.1%} of steps"),
    Threshold(
        "ratio-starts-high",
        Bound("ratio_at_start", "above", 1.0001),
        "ratio {value:.6g} before the first gradient step; it must be 1",
        half=1.1,
    ),
    Threshold(
        "ratio-starts-low",
        Bound("ratio_at_start", "below", 0.9999),
        "ratio {value:.6g} before the first gradient step; it must be 1",
        half=0.9,
    ),
    Threshold(
        "acting-differs",
        Bound("behaviour_log_prob_gap", "above", 1e-4),
        "log-probabilities when acting and when learning differ by {value:.2g}",
        half=0.1,
    ),
    Threshold("ratio-exploded", Bound("ratio_max/*", "above", 10.0), "head {head}: probability ratio {value:.3g}"),
    Threshold(
        "clipped-often", Bound("clip_fraction/*", "above", 0.4), "head {head}: {value:.0%} of its ratios clipped"
    ),
    Threshold(
        "no-epoch-finished",
        Bound("update_epochs_done", "below", 1.0),
        "learning stopped within its first epoch, at KL {kl:.3g}",
    ),
    Threshold(
        "critic-worse-than-constant",
        Bound("explained_variance", "below", -0.5),
        "explained variance {value:.2f}, value error {value_rmse:.3g} where returns spread {return_std:.3g}",
        given=(Bound("value_rmse", "above", 1.0, "return_std"),),
        after=10,
    ),
    Threshold(
        "values-far-off",
        Bound("value_rmse", "above", 3.0, "return_std"),
        "value error {value:.3g} where returns spread {return_std:.3g}",
        after=10,
    ),
    Threshold(
        "critic-ignores-operation",
        Bound("q_spread", "below", 1e-4, "return_std"),
        "values of operations differ by {value:.2g} only, where returns spread {return_std:.3g}",
        after=10,
    ),
    Threshold(
        "state-large", Bound("state_rms/*", "above", 10.0), "recurrent state {head}: root mean square {value:.3g}"
    ),
    Threshold("gradient-large", Bound("grad_norm", "above", 100.0), "gradient norm {value:.3g}"),
    Threshold(
        "head-without-gradient",
        Bound("grad_norm/*", "below", 1e-9),
        "head {head}: gradient norm {value:.2g} although it mattered in {used:.0f} steps",
        given=(Bound("ratio_max/*", "above", 0.0),),
    ),
)
"""The table. Entropies of categories are fractions of ln k. `advantage/<op>` has no threshold: 0 for every operation is
no sign of health, for the operation head learns nothing then."""


def chosen_thresholds(settings: Sequence[str], half: bool = False) -> tuple[Threshold, ...]:
    """Return the table with other bounds, for a policy that computes in `half` precision or not.

    Of `settings`, `name=5` moves a bound and `name=off` drops a threshold; ValueError where one cannot be read.
    """
    table = {t.name: t if t.half is None or not half else t.at(t.half) for t in THRESHOLDS}
    chosen = dict(table)
    for setting in settings:
        name, _, text = (part.strip() for part in setting.partition("="))
        if name not in table:
            near = did_you_mean(name, table).strip()
            raise ValueError(f"there is no threshold '{name}'{f' ({near})' if near else ''}")
        if text == "off":
            chosen.pop(name, None)
            continue
        try:
            chosen[name] = table[name].at(float(text))
        except ValueError:
            raise ValueError(f"the threshold '{setting}' reads neither NAME=NUMBER nor NAME=off") from None
    return tuple(chosen.values())


@define
class Watch:
    """Compares updates with thresholds and remembers since when warnings last, by `threshold metric`."""

    thresholds: tuple[Threshold, ...]
    since: dict[str, int] = field(factory=dict)

    def look(self, update: int, metrics: Metrics) -> list[LearningWarning]:
        """Return the warnings of an update; one that has just begun has `since == update`."""
        began, self.since, warnings = self.since, {}, []
        for threshold in self.thresholds:
            for metric, head in _matches(threshold.bound.metric, metrics):
                crossed = all(bound.crossed(metrics, head or "") for bound in (threshold.bound, *threshold.given))
                if not crossed or update <= threshold.after:
                    continue
                key, value = f"{threshold.name} {metric}", metrics[metric] or 0.0
                self.since[key] = since = began.get(key, update)
                said = threshold.message.format(**_words(metric, head, metrics))
                warnings.append(
                    LearningWarning(threshold.name, metric, head, value, threshold.bound.value, since, said)
                )
        return warnings


def _matches(pattern: str, metrics: Metrics) -> list[tuple[str, str | None]]:
    """Return the metrics of a pattern, and what its `*` stands for."""
    if not pattern.endswith("*"):
        return [(pattern, None)]
    start = pattern[:-1]
    return [(name, name.removeprefix(start)) for name in metrics if name.startswith(start)]


def _words(metric: str, head: str | None, metrics: Metrics) -> dict[str, Any]:
    """Return what a message may name."""
    end = "/" + (metric.partition("/")[2] if head is None else head)
    own = {name.removesuffix(end): value for name, value in metrics.items() if name.endswith(end)}
    return {**metrics, **own, "value": metrics[metric], "head": head}
