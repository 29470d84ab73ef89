"""The chapter about whom a policy was trained against, for runs with opponents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from esper_core.contracts.sides import MATCH
from esper_evaluation.report.chapters import Bin, bins
from esper_evaluation.report.charts import Line, LineChart, Point, ShareChart
from esper_evaluation.report.document import Chapter, Figure
from esper_evaluation.report.figures import Table, fixed, short
from esper_evaluation.report.record import Record, number
from esper_evaluation.student import mean_interval

DRAWN = 6
"""Opponents that have a colour of their own at most, the most frequent; a chart has no more."""

OTHERS = "others"
KEYS = {"opponent", "side", "won"}
"""What such an event says."""

Match = Mapping[str, Any]


def opponents(record: Record) -> Chapter | None:
    """Return who was met, how often, and what was scored against whom; None for a run without opponents."""
    matches = [event for event in record.events if event["type"] == MATCH and event.keys() >= KEYS]
    if not matches:
        return None
    points, met = bins(record), Counter(str(event["opponent"]) for event in matches)
    often = [name for name, _ in met.most_common(DRAWN)]
    figures: list[Figure] = [_shares(matches, often, len(met), points), _scores(matches, often, points)]
    figures.append(_table(record, matches, met))
    text = (
        f"{len(matches):,} matches against {len(met)} opponents ended. A victory is 1 point, a draw a half. Opponents "
        "are drawn per match, with the weights of the update in which it begins."
    )
    return Chapter("opponents", "Whom it was trained against", text, figures)


def _shares(matches: Sequence[Match], often: Sequence[str], count: int, points: Sequence[Bin]) -> ShareChart:
    """Return the share of the matches against each of those that were met often."""
    names = [*often, *([OTHERS] if count > len(often) else [])]
    shares: list[list[float]] = [[] for _ in names]
    for point in points:
        here = [str(event["opponent"]) for event in matches if event["update"] in point.updates]
        counted = Counter(name if name in often else OTHERS for name in here)
        for name, line in zip(names, shares, strict=True):
            line.append(counted[name] / len(here) if here else 0.0)
    note = "Share of the matches that ended in an update; a column is empty where none did."
    return ShareChart("Opponents", note, names, shares, [point.last for point in points])


def _scores(matches: Sequence[Match], often: Sequence[str], points: Sequence[Bin]) -> LineChart:
    """Return the points per match against each of those that were met often."""
    lines = []
    for name in often:
        own = [event for event in matches if event["opponent"] == name]
        known = [(p.last, mean_interval(_won(e for e in own if e["update"] in p.updates))) for p in points]
        lines.append(Line(name, [Point(x, i.mean, i.low, i.high) if i else None for x, i in known]))
    note = "Points per match against each, with the 95 % interval of the mean."
    return LineChart("Scored against them", note, lines, [point.last for point in points])


def _table(record: Record, matches: Sequence[Match], met: Mapping[str, int]) -> Table:
    rows = []
    for name in sorted(met, key=lambda name: (-met[name], name)):
        own = [event for event in matches if event["opponent"] == name]
        interval = mean_interval(_won(own))
        said = "–" if interval is None else fixed(interval.mean)
        if interval is not None and interval.low is not None and interval.high is not None:
            said += f" [{fixed(interval.low)}, {fixed(interval.high)}]"
        weight = number(record.lines[-1].get(f"weight/{name}"))
        by_side = [_won(event for event in own if event["side"] == side) for side in (0, 1)]
        sides = [fixed(sum(won) / len(won)) if won else "–" for won in by_side]
        updates = [event["update"] for event in own]
        rows.append([name, f"{len(own):,}", said, *sides, short(weight), f"{min(updates)} to {max(updates)}"])
    header = ["opponent", "matches", "points per match", "on the first side", "on the second", "weight now", "updates"]
    return Table(header, rows, "All opponents", "Points per match with the 95 % interval of the mean.")


def _won(matches: Any) -> list[float]:
    return [value for event in matches if (value := number(event["won"])) is not None]
