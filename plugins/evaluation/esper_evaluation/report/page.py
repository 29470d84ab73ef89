"""One HTML page about a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from esper_core.runs.directory import RunDirectory
from esper_core.runs.words import by_place
from esper_evaluation.report import chapters
from esper_evaluation.report.document import Chapter, Document, Tile, check_replaceable, write_page
from esper_evaluation.report.figures import fixed, short
from esper_evaluation.report.opponents import opponents
from esper_evaluation.report.pictures import pictures
from esper_evaluation.report.record import Record
from esper_evaluation.report.slots import slots
from esper_evaluation.student import mean_interval


def write_report(run: RunDirectory, path: Path) -> None:
    """Write the page about a run.

    Raises:
        UserError: it would be written over a file that is not a report.
        EsperError: a file of the run is damaged, or the page cannot be written; one that was there before stays.
    """
    check_replaceable(path)
    write_page(render(Record.read(run)), path)


def render(record: Record) -> str:
    """Return the page about a run."""
    created = record.run.created
    document = Document(
        kicker="esper · report of a run",
        title=record.plan.policy,
        subtitle=_subtitle(record),
        name=record.run.name,
        origin=f"{record.run.name} · begun {created}" if created else record.run.name,
        tiles=_tiles(record),
        chapters=_chapters(record),
    )
    return document.render()


def _chapters(record: Record) -> list[Chapter]:
    if not record.lines:
        empty = Chapter("learning", "Learning", "No update has ended yet, so there is nothing to draw.", [])
        return [empty, chapters.made_of(record), chapters.provenance(record)]
    seen, met = pictures(record), opponents(record)
    return [
        chapters.learning(record),
        *([met] if met else []),
        slots(record),
        *([seen] if seen else []),
        chapters.behaviour(record),
        chapters.critic(record),
        chapters.updates(record),
        chapters.warnings(record),
        chapters.numbers(record),
        chapters.made_of(record),
        chapters.provenance(record),
    ]


def _subtitle(record: Record) -> str:
    plan = record.plan
    names = [f"{c.kind} {c.name}" for c in plan.components if len(plan.of_kind(c.kind)) == 1]
    count = f"{plan.slots_said}, drawn for each update" if plan.drawn else plan.slots_said
    return ", ".join([count, *names, f"seed {plan.seed}"])


def _tiles(record: Record) -> list[Tile]:
    plan, lines = record.plan, record.lines
    done = f"{len(lines)} of {plan.updates}"
    tiles = [Tile("updates", done, "finished" if len(lines) >= plan.updates else "not finished")]
    if not lines:
        return tiles
    quarter = record.last_quarter()
    span = f"update {quarter[0]}" if len(quarter) == 1 else f"updates {quarter[0]} to {quarter[-1]}"
    for headline in by_place(record.words.everywhere):
        if interval := mean_interval(record.of_episodes(headline.name, quarter)):
            low, high = interval.low, interval.high
            ends = "one episode" if low is None or high is None else f"{fixed(low)} to {fixed(high)}"
            tiles.append(Tile(headline.label, fixed(interval.mean), f"{ends}, {span}"))
        elif known := [v for v in record.metric(headline.name)[-len(quarter) :] if v is not None]:
            tiles.append(Tile(headline.label, short(sum(known) / len(known)), f"mean, {span}"))
    seconds = sum(float(line.get("timing", {}).get("seconds") or 0.0) for line in lines)
    steps = lines[-1]["environment_steps"]
    rate = f"{steps / seconds:.1f} per second" if seconds > 0 else ""
    tiles.append(Tile("environment steps", f"{steps:,}", rate))
    tiles.append(Tile("time", _duration(seconds), ""))
    parameters: Any = record.run.record.get("parameters")
    if isinstance(parameters, int):
        tiles.append(Tile("parameters", f"{parameters:,}", "of the policy"))
    count = len({message for _, message in chapters.warning_spans(lines)})
    tiles.append(Tile("warnings", str(count), "see below" if count else "none"))
    return tiles


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
