"""The page of the metrics: what components and core declare, and when a metric is worth a warning."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from docs.generate.markdown import NOTE, document, table
from esper_core.contracts.metrics import Metric
from esper_core.learning.metrics import METRICS
from esper_core.learning.thresholds import THRESHOLDS, Bound, Threshold
from esper_core.registry.index import Index
from esper_core.registry.references import load_reference

WATCHING = Path(__file__).with_name("watching.md")
"""How to watch a run: the part of the page that is written by hand."""

ADVICE = {
    "collapsed-before-use": (
        "The head became certain before it could learn what is good. Raise `loss.entropy` or the head's "
        "entropy weight, or lower `train.lr`."
    ),
    "operation-certain": (
        "Fine once the return no longer rises. Before that, raise `loss.entropy` or lower `train.lr`."
    ),
    "deviation-collapsed": (
        "Fine once the return no longer rises. Before that, raise `loss.entropy` or lower `train.lr`. Numbers that are "
        "not squashed are in the unit of the action: give it a scale of about 1, or move the bound."
    ),
    "actions-saturated": (
        "Gradients of a squashed number vanish there. Fine where full force is right; otherwise lower `train.lr` or "
        "raise `loss.entropy`. Numbers that are not squashed may have bounds narrower than their deviation at the "
        "start: squash them."
    ),
    "one-operation": ("The policy does one thing only, often WAIT. See whether the others ever paid: `advantage/*`."),
    "ratio-starts-high": (
        "The same policy judged the same data differently twice: the network is not deterministic, or data changed."
    ),
    "ratio-starts-low": "As for `ratio-starts-high`.",
    "acting-differs": "Masks, recurrent state or resets differ between acting and learning.",
    "ratio-exploded": (
        "One head moves too far within an update although the others hide it. Lower `train.lr`, "
        "`train.update_epochs` or `loss.target_kl`."
    ),
    "clipped-often": "Much of each gradient is thrown away. Lower `train.lr` or `train.update_epochs`.",
    "no-epoch-finished": (
        "A single gradient step moves the policy too far. Lower `train.lr`, or `train.num_minibatches`."
    ),
    "critic-worse-than-constant": (
        "Advantages are noisier than without a critic. Raise `train.gae_lambda`, so that they lean on it "
        "less, or `loss.value_coefficient`."
    ),
    "values-far-off": (
        "The level of the values is wrong, which explained variance does not show. See whether rewards changed."
    ),
    "critic-ignores-operation": (
        "The critic makes no difference between operations. Fine where they hardly matter; use `state-value` then."
    ),
    "state-large": (
        "The state builds up over the episode and saturates the gates. Lower `train.lr` or shorten episodes."
    ),
    "gradient-large": (
        "Look which of `grad_norm_network`, `grad_norm_critic` and `grad_norm/*` it is; keep `train.max_grad_norm` on."
    ),
    "head-without-gradient": (
        "The head was used in this update, or it would have no ratio, but nothing reaches it: it is detached "
        "in the network, or so certain that its softmax is flat."
    ),
}
"""What to do about each warning."""


def metrics(index: Index) -> str:
    """Return the page."""
    declared = [
        (component, load_reference(component.spec.metrics, str(component)))
        for component in index.components
        if component.spec.metrics
    ]
    return document(
        "# Metrics and warnings",
        NOTE,
        WATCHING.read_text(encoding="utf-8").strip(),
        "## Metrics of every run",
        _table(METRICS),
        *(
            f"## Metrics of the {component.kind} {component.name}\n\n{_table(found)}"
            for component, found in sorted(declared, key=lambda entry: entry[0].key)
        ),
        "## Other keys of a line",
        table(
            ("key", "what it is"),
            (
                ("`update`, `environment_steps`", "updates, and steps of all environments, since the start of the run"),
                ("`warnings`", "thresholds that a metric is beyond, and since which update"),
                (
                    "`timing`",
                    "what depends on the clock: `seconds`, `steps_per_second`, `phases` with the seconds of each",
                ),
            ),
        ),
        "## Warnings",
        table(("name", "when", "what to do"), [(f"`{t.name}`", _condition(t), ADVICE[t.name]) for t in THRESHOLDS]),
    )


def _table(declared: Sequence[Metric]) -> str:
    rows = [
        (
            ", ".join(f"`{name}`" for name in m.names),
            f"{m.label}: {m.meaning}" if m.label else m.meaning,
            m.healthy,
            m.advice,
        )
        for m in declared
    ]
    return table(("metric", "what it is", "healthy", "what to do"), rows)


def _condition(threshold: Threshold) -> str:
    conditions = [_bound(bound) for bound in (threshold.bound, *threshold.given)]
    if threshold.half is not None:
        conditions[0] += f" ({threshold.half:g} in bf16)"
    if threshold.after:
        conditions.append(f"after update {threshold.after}")
    return ", ".join(conditions)


def _bound(bound: Bound) -> str:
    unit = f" × `{bound.unit}`" if bound.unit else ""
    return f"`{bound.metric}` {bound.side} {bound.value:g}{unit}"
