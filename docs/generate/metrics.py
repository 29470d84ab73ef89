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
    return f"`{bound.metric}` {bound.side} {bound.value:g}{unit}"
