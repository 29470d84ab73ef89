"""The chapter about how ratings went."""

from __future__ import annotations

from collections import defaultdict

from esper_evaluation.report.charts import Line, LineChart, Mark, Point
from esper_evaluation.report.document import Chapter
from esper_evaluation.report.figures import spread
from esper_league.report.record import Record

CHARTS = 24
"""Entries with a chart at most."""

POINTS = 160
"""Periods of a chart at most, evenly spread."""

SIGNS = {"promoted": "▲", "retired": "▼", "reinstated": "△"}


def curves(record: Record) -> Chapter:
    """Return everybody's rating after each period, one chart for each beside the others."""
    periods = sorted(record.periods)
    if not periods:
        text = f"No rating period was closed yet. Close one: esper league rate {record.path}"
        return Chapter("ratings", "Ratings over periods", text, [])
    at = [periods[i] for i in spread(len(periods), POINTS)]
    known: dict[str, dict[int, Point]] = defaultdict(dict)
    for past in record.history:
        value, reach = past.rating.rating, 2 * past.rating.rd
        known[past.entry][past.period] = Point(past.period, value, value - reach, value + reach)
    rated = [entry for entry in record.entries if known[entry.id]]
    lines = [Line(entry.name, [known[entry.id].get(period) for period in at]) for entry in rated[:CHARTS]]
    marks: dict[str, list[Mark]] = defaultdict(list)
    for happening in record.happenings:
        period = record.period_at(happening.at)
        if happening.what in SIGNS and at[0] <= period <= at[-1]:
            said = f"{happening.what} after period {period}"
            marks[happening.entry].append(Mark(period, said, SIGNS[happening.what]))
    charts = [
        LineChart(
            line.name,
            entry.kind + ("" if line.points[-1] else f", not rated in period {at[-1]}"),
            [line],
            at,
            axis="period",
            behind=[other for other in lines if other is not line],
            marks=marks[entry.id],
            nil=False,
        )
        for entry, line in zip(rated, lines, strict=False)
    ]
    text = (
        "Each chart is one entry: its rating after every period, and ± 2 RD as a band. The thin lines are the others, "
        "on the same scale. ▲ promoted, ▼ retired, △ reinstated."
    )
    if len(charts) < len(rated):
        text += f" The first {len(charts)} of {len(rated)} entries are drawn."
    return Chapter("ratings", "Ratings over periods", text, charts)
