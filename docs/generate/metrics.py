"""The page of the metrics: what components and core declare, and when a metric is worth a warning."""

from __future__ import annotations

from collections.abc import Sequence

from docs.generate.markdown import NOTE, document, paragraph, table
from esper_core.contracts.metrics import Metric
from esper_core.learning.metrics import METRICS
from esper_core.learning.thresholds import THRESHOLDS, Bound, Threshold
from esper_core.registry.index import Index
from esper_core.registry.references import load_reference


def metrics(index: Index) -> str:
    """Return the page."""
    declared = [
        (component, load_reference(component.spec.metrics, str(component)))
        for component in index.components
        if component.spec.metrics
    ]
    return document(
        "# Metrics",
        NOTE,
        paragraph(
            "What an update appends to `metrics.jsonl`, on one line. `<head>` is a head of the action table (`op`, "
            "`slot`, `blueprint`, …), `<op>` an operation, `<part>` a part of the recurrent state. What is undefined "
            "is null. [monitoring.md](monitoring.md) says how to look at them."
        ),
        "## Of every run",
        _table(METRICS),
        *(
            f"## Of the {component.kind} {component.name}\n\n{_table(found)}"
            for component, found in sorted(declared, key=lambda entry: entry[0].key)
        ),
        "## What a line holds beside metrics",
        table(
            ("key", "what it is"),
            (
                ("`update`, `environment_steps`", "updates, and steps of all environments, since the start of the run"),
                ("`warnings`", "thresholds that a metric is beyond, and since which update: see below"),
                (
                    "`timing`",
                    "what depends on the clock: `seconds`, `steps_per_second`, `phases` with the seconds of each",
                ),
            ),
        ),
        "## Warnings",
        table(("name", "when", "what to do"), [(f"`{t.name}`", _condition(t), t.advice) for t in THRESHOLDS]),
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
    return f"`{bound.metric}` {'above' if bound.below is None else 'below'} {bound.value:g}{unit}"
