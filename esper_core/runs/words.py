"""What a run calls what it reports. Torch is not imported.

Components declare it; it is recorded when the run begins, so that nothing needs to be installed to look at it later.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from attrs import Factory, frozen

from esper_core.composition.lookup import find_planned
from esper_core.composition.plan import Plan, PlanDescription
from esper_core.contracts.metrics import SHOWN_EVERYWHERE, Metric
from esper_core.contracts.state import SlotWords
from esper_core.learning.metrics import DRAWN, METRICS
from esper_core.registry.index import Index
from esper_core.registry.references import load_reference


@frozen
class Headline:
    """A metric that says how a run goes; `Metric` says what the attributes mean."""

    name: str
    label: str
    short: str
    meaning: str
    headline: int


def _headlines(metrics: Iterable[Metric], head: str = "") -> list[Headline]:
    """Return the headlines among metrics as declared; a later one of a name replaces another."""
    found: dict[str, Headline] = {}
    for metric in metrics:
        if metric.headline:
            name = metric.names[0].replace("<head>", head)
            found.pop(name, None)
            label = metric.label or name
            found[name] = Headline(name, label, metric.short or label, metric.meaning, metric.headline)
    return list(found.values())


@frozen
class Words:
    """What a run calls what it reports: metrics that say how it goes, as declared, and the things in slots."""

    headlines: list[Headline] = Factory(lambda: _headlines(METRICS))
    slots: SlotWords | None = None

    @classmethod
    def of(cls, plan: Plan, index: Index, known: PlanDescription) -> Words:
        """Return what the components of a plan declare; what one says of a metric outweighs what the core says.

        Raises PluginError where what a component names as its metrics are none.
        """
        metrics = [metric for metric in METRICS if plan.drawn or metric is not DRAWN]
        for component in (find_planned(index, planned) for planned in plan.components):
            if component.spec.metrics:
                declared: Any = load_reference(component.spec.metrics, str(component), component.distribution)
                if not isinstance(declared, list | tuple) or not all(isinstance(entry, Metric) for entry in declared):
                    raise component.owner.breach(f"'{component.spec.metrics}' is not a list of Metric")
                metrics.extend(declared)
        return cls(_headlines(metrics, known.actions.root or known.actions.heads[0].name), known.slot_words)

    @property
    def everywhere(self) -> list[Headline]:
        """The headlines that are shown wherever people look at the run, as declared."""
        return [headline for headline in self.headlines if headline.headline <= SHOWN_EVERYWHERE]


def by_place(headlines: Iterable[Headline]) -> list[Headline]:
    """Return headlines, the most important first."""
    return sorted(headlines, key=lambda headline: headline.headline)
