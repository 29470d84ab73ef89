"""The chapters of a report that every run has, whatever its environment."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from attrs import frozen

from esper_core.runs.checkpoint import best_checkpoint, list_checkpoints
from esper_core.runs.warnings import warning_spans
from esper_evaluation.report.charts import Line, LineChart, Point, ShareChart
from esper_evaluation.report.document import Chapter, Figure
from esper_evaluation.report.figures import Facts, Table, short
from esper_evaluation.report.record import Record, number
from esper_evaluation.student import mean_interval

POINTS = 160
"""Points of a chart at most; where there are more updates, a point stands for several."""


@frozen
class Bin:
    """Updates that one point of a chart stands for."""

    updates: tuple[int, ...]
    rows: tuple[int, ...]

    @property
    def last(self) -> int:
        """Its last update, where the point is drawn."""
        return self.updates[-1]


def bins(record: Record) -> list[Bin]:
    """Return the points of all charts: every update, or equal spans of them."""
    size = -(-len(record.lines) // POINTS) or 1
    rows = [tuple(range(i, min(i + size, len(record.lines)))) for i in range(0, len(record.lines), size)]
    return [Bin(tuple(record.updates[r] for r in span), span) for span in rows]


def learning(record: Record) -> Chapter:
    """Return what episodes brought: every number that they report, with intervals."""
    points = bins(record)
    names = record.episode_names
    groups = _groups(["return", *(name for name in names if name != "return")], set(record.metric_names))
    figures: list[Figure] = [
        figure
        for title, members in groups
        if (figure := _lines(_words(title), "", [(_words(m), _episodes(record, m, points)) for m in members], points))
    ]
    size = len(points[0].updates) if points else 1
    several = f" A point stands for {size} updates." if size > 1 else ""
    text = (
        "Each point is the mean over the episodes of an update, and its band the 95 % interval of that mean "
        f"(Student’s t).{several} The interval says how far these episodes pin the mean down; it says nothing about "
        "what another seed of the run would give."
    )
    if record.plan.drawn and names:
        text += " The number of slots was drawn anew for each update, so neighbouring points may be of different ones."
        figures.append(_by_slots(record, names))
    return Chapter("learning", "Learning", text if names else "No episode has ended in this run.", figures)


def _by_slots(record: Record, names: Sequence[str]) -> Table:
    """Return what episodes brought with each number of slots, over the last quarter or two updates of each."""
    rows = []
    latest = record.updates[-max(2 * len(record.plan.drawn), len(record.last_quarter())) :]
    for count in record.plan.drawn:
        updates = [u for u, n in zip(record.updates, record.metric("slots"), strict=True) if n == count and u in latest]
        means = (mean_interval(record.of_episodes(name, updates)) for name in names)
        rows.append([str(count), str(len(updates)), *("–" if mean is None else f"{mean.mean:.3g}" for mean in means)])
    header = ["slots", "updates", *map(_words, names)]
    return Table(header, rows, f"By number of slots: means of updates {latest[0]} to {latest[-1]}")


def behaviour(record: Record) -> Chapter:
    """Return what the policy does: operations over time, and how certain each head is."""
    points = bins(record)
    figures: list[Figure] = []
    operations = _family(record, "op")
    if operations:
        taken = {n: [_mean(record, f"op/{n}", point) or 0.0 for point in points] for n in operations}
        never = [name for name, shares in taken.items() if not any(shares)]
        drawn = [name for name in operations if name not in never]
        note = "Share of the steps at which each was taken."
        note += f" Never taken: {', '.join(never)}." if never else ""
        figures.append(ShareChart("Operations", note, drawn, [taken[n] for n in drawn], [p.last for p in points]))
    note = "1 is uniform over what is legal, 0 is certain; only where the head matters and has a choice."
    # Whatever has a deviation consists of numbers, whose entropy has no upper end.
    numbers = _family(record, "std")
    categories = [name for name in _family(record, "entropy") if name not in numbers]
    figures += _family_chart(record, "entropy", "Entropy of each head", note, points, categories)
    note = "Nats per number, of what the environment gets where numbers are squashed; it may be below 0."
    figures += _family_chart(record, "entropy", "Entropy of heads of numbers", note, points, numbers)
    note = "Of what is drawn, before it is squashed or cut off; on average over the numbers of a head."
    figures += _family_chart(record, "std", "Standard deviation of numbers", note, points)
    note = "Share of the numbers within 1 % of a bound after squashing, or beyond one."
    figures += _family_chart(record, "saturated", "Numbers at their bounds", note, points)
    text = "" if figures else "The environment’s actions have no operation head, and no entropies were recorded."
    return Chapter("behaviour", "What the policy does", text, figures)


CRITIC = (
    ("Q spread", "Most valuable minus least valuable legal operation, in units of reward.", ("q_spread",)),
    (
        "Error of the values",
        "Beside the spread of all returns so far, in units of reward.",
        ("value_rmse", "return_std"),
    ),
    ("Explained variance", "1 is perfect, 0 no better than a constant.", ("explained_variance",)),
)
UPDATES = (
    ("KL(old ‖ new)", "At the last evaluation of an update, in nats.", ("kl",)),
    ("Clip fraction", "Share of choices whose ratio left the clip range.", ("clip_fraction",)),
    ("Gradient norm", "Before it is bounded.", ("grad_norm", "grad_norm_network", "grad_norm_critic")),
)


def critic(record: Record) -> Chapter:
    """Return what the critic is worth."""
    points = bins(record)
    figures = _charts(record, CRITIC, points)
    note = "Mean advantage of the steps with this operation, in units of reward."
    figures += _family_chart(record, "advantage", "Advantage by operation", note, points)
    missing = record.metric("q_spread")
    text = (
        ""
        if any(v is not None for v in missing)
        else "There is no Q spread: this critic’s values do not depend on the operation."
    )
    return Chapter("critic", "What the critic knows", text, figures)


def updates(record: Record) -> Chapter:
    """Return how large the steps of learning were."""
    points = bins(record)
    figures = _charts(record, UPDATES, points)
    phases: dict[str, float] = defaultdict(float)
    for line in record.lines:
        for name, seconds in line.get("timing", {}).get("phases", {}).items():
            phases[name] += number(seconds) or 0.0
    total = sum(phases.values())
    if total > 0:
        rows = [
            [name.replace("_", " "), f"{s:.1f}", f"{s / total:.1%}"]
            for name, s in sorted(phases.items(), key=lambda entry: -entry[1])
        ]
        figures.append(Table(["phase", "seconds", "share"], rows, "Where the time went"))
    return Chapter("updates", "How it learned", "", figures)


def warnings(record: Record) -> Chapter:
    """Return every warning and how long it lasted."""
    rows = [list(row) for row in warning_spans(record.lines)]
    if not rows:
        return Chapter("warnings", "Warnings", "No metric left its healthy range.", [])
    return Chapter(
        "warnings", "Warnings", "Metrics that left their healthy range, and when.", [Table(["when", "what"], rows)]
    )


def made_of(record: Record) -> Chapter:
    """Return the plan."""
    plan = record.plan
    rows = [
        [
            c.kind,
            c.name,
            f"{c.distribution} {c.version}",
            ", ".join(f"{k} = {said(v)}" for k, v in c.config.items()) or "–",
        ]
        for c in plan.components
    ]
    settings = {
        "policy": plan.policy,
        "slots": ", ".join(plan.slots),
        **({"slots drawn for each update": ", ".join(map(str, plan.drawn))} if plan.drawn else {}),
        **({"begun with": f"{plan.init.run}, update {plan.init.update}"} if plan.init else {}),
        "seed": str(plan.seed),
        "environments": str(plan.envs),
        "updates planned": str(plan.updates),
        "device": str(record.run.record.get("device", plan.device)),
        "threads": str(plan.threads),
        "precision": plan.precision,
        **{f"train.{name}": said(value) for name, value in plan.train.items()},
    }
    return Chapter(
        "plan",
        "What it is made of",
        "",
        [Facts("Settings", settings), Table(["kind", "component", "from", "options"], rows, "Components")],
    )


def provenance(record: Record) -> Chapter:
    """Return where the run comes from."""
    run, content = record.run, record.run.record
    git, machine = content.get("git"), content.get("machine")
    best = best_checkpoint(run)
    kept = [f"{p.name} (best return)" if best and p.name == best.name else p.name for p in list_checkpoints(run)]
    facts = {
        "run": run.name,
        "begun": run.created,
        "git commit": f"{git.get('commit')}{', with changes' * bool(git.get('changed'))}"
        if isinstance(git, dict) and git.get("commit")
        else "not in git",
        **({str(k): said(v) for k, v in machine.items()} if isinstance(machine, dict) else {}),
        "checkpoints": ", ".join(kept) or "none",
    }
    for key in ("feature_schema", "actions"):
        entry = content.get(key)
        if isinstance(entry, dict) and "digest" in entry:
            facts[f"digest of {key.replace('_', ' ')}"] = str(entry["digest"])
    figures: list[Figure] = [Facts("Run", facts)]
    found = content.get("distributions")
    if isinstance(found, dict):
        entries = [(n, e) for n, e in found.items() if isinstance(e, dict)]
        rows = [[str(n), said(e.get("version")), said(e.get("source"))] for n, e in entries]
        figures.append(Table(["distribution", "version", "digest of its source"], rows, "Distributions"))
    libraries = content.get("libraries")
    if isinstance(libraries, dict):
        figures.append(Table(["library", "version"], [[str(n), said(v)] for n, v in libraries.items()], "Libraries"))
    return Chapter("provenance", "Where it comes from", "", figures)


def numbers(record: Record) -> Chapter:
    """Return every metric of the first, the middle and the last update."""
    chosen = sorted({0, len(record.lines) // 2, len(record.lines) - 1})
    header = ["metric", *(f"update {record.lines[i]['update']}" for i in chosen)]
    rows = [[name, *(short(number(record.lines[i].get(name))) for i in chosen)] for name in record.metric_names]
    table = Table(header, rows, f"All {len(rows)} metrics", folded=True)
    return Chapter("numbers", "Every number", "docs/metrics.md explains each metric.", [table])


def said(value: Any) -> str:
    """Return a recorded value as text for people."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return ", ".join(map(said, value)) if value else "none"
    return str(value)


def _charts(record: Record, table: Iterable[tuple[str, str, Sequence[str]]], points: Sequence[Bin]) -> list[Figure]:
    made = (
        _lines(title, note, [(_words(n), _metric(record, n, points)) for n in names], points)
        for title, note, names in table
    )
    return [chart for chart in made if chart]


def _words(name: str) -> str:
    return name.replace("_", " ")


def _family(record: Record, family: str) -> list[str]:
    """Return what comes behind the slash of the metrics `family/…`, where any is defined."""
    prefix = f"{family}/"
    return [
        name.removeprefix(prefix)
        for name in record.metric_names
        if name.startswith(prefix) and any(v is not None for v in record.metric(name))
    ]


def _family_chart(
    record: Record, family: str, title: str, note: str, points: Sequence[Bin], only: Sequence[str] | None = None
) -> list[Figure]:
    names = _family(record, family) if only is None else only
    lines = [(name, _metric(record, f"{family}/{name}", points)) for name in names]
    chart = _lines(title, note, lines, points)
    return [chart] if chart else []


def _lines(
    title: str, note: str, lines: Sequence[tuple[str, list[Point | None]]], points: Sequence[Bin]
) -> LineChart | None:
    """Return a chart of the lines that have a point; None without any."""
    known = [Line(name, line) for name, line in lines if any(p is not None for p in line)]
    return LineChart(title, note, known, [point.last for point in points]) if known else None


def _episodes(record: Record, name: str, points: Sequence[Bin]) -> list[Point | None]:
    values: dict[int, list[float]] = defaultdict(list)
    for episode in record.episodes:
        if (value := number(episode.get(name))) is not None:
            values[episode["update"]].append(value)
    found = [(p.last, mean_interval(v for update in p.updates for v in values[update])) for p in points]
    return [Point(x, i.mean, i.low, i.high) if i else None for x, i in found]


def _metric(record: Record, name: str, points: Sequence[Bin]) -> list[Point | None]:
    means = [(point.last, _mean(record, name, point)) for point in points]
    return [None if mean is None else Point(x, mean) for x, mean in means]


def _mean(record: Record, name: str, point: Bin) -> float | None:
    values = [v for row in point.rows if (v := number(record.lines[row].get(name))) is not None]
    return sum(values) / len(values) if values else None


def _groups(names: Sequence[str], known: set[str]) -> list[tuple[str, list[str]]]:
    """Return what is drawn together: names that end in the same word, such as `static_accuracy`, share a chart."""
    groups: dict[str, list[str]] = {}
    for name in names:
        if name in known:
            head, _, word = name.rpartition("_")
            groups.setdefault(word if head else name, []).append(name)
    return [(title if len(members) > 1 else members[0], members) for title, members in groups.items()]
