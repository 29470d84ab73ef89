"""The chapter of a report about what the slots held, for environments whose events say so."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from esper_core.contracts.state import SlotWords
from esper_core.runs.words import Words, by_place
from esper_evaluation.report.chapters import Bin, bins
from esper_evaluation.report.document import Chapter, Figure
from esper_evaluation.report.figures import (
    SHADES,
    Bar,
    Board,
    HeatMap,
    Lane,
    Part,
    Table,
    Timeline,
    Topology,
    Track,
    fixed,
    short,
    spread,
)
from esper_evaluation.report.lives import Life, lives, stage_order
from esper_evaluation.report.record import Record, number

BOARDS = 8
"""Environments of an update that are drawn at most."""

COLUMNS = 24
"""Columns of a heat map over time at most."""

NOTHING = "The events of this run name no slots, so there is nothing to draw."


def slots(record: Record) -> Chapter:
    """Return what the slots held where and when, and what came of it, in the words of the run."""
    words = record.slot_words
    found = lives(record.events, words.content)
    if not found:
        return Chapter("slots", words.title, NOTHING, [])
    stages = stage_order(found)
    last, first = record.updates[-1], record.updates[0]
    figures: list[Figure] = [_contents(found, bins(record), words), _fates(found, stages, words)]
    quarter = record.last_quarter()
    late = [life for life in found if life.update in set(quarter)]
    episodes = [e for e in record.episodes if e["update"] in set(quarter)]
    span = f"update {last}" if len(quarter) == 1 else f"updates {quarter[0]} to {last}"
    names = _slots(record, found)
    if late:
        figures.append(_where(late, names, span, words))
        if episodes:
            figures.append(_when(late, names, episodes, span, words))
    figures.append(_timeline(record, found, stages, last, folded=False))
    if first != last:
        figures.append(_timeline(record, found, stages, first, folded=True))
    if topology := _topology(record, found, stages, names, last):
        figures.append(topology)
    return Chapter("slots", words.title, "", figures)


def _slots(record: Record, found: Sequence[Life]) -> list[str]:
    """Return the plan's slots in their order, then those that only events know."""
    return list(dict.fromkeys([*record.plan.slots, *sorted({life.slot for life in found})]))


def _contents(found: Sequence[Life], points: Sequence[Bin], words: SlotWords) -> HeatMap:
    """Count what was begun, over time."""
    size = -(-len(points) // COLUMNS)
    columns = [points[i : i + size] for i in range(0, len(points), size)]
    place = {update: i for i, column in enumerate(columns) for point in column for update in point.updates}
    counts: dict[str, Counter[int]] = defaultdict(Counter)
    for life in found:
        counts[life.content][place[life.update]] += 1
    rows = sorted(counts, key=lambda name: (-counts[name].total(), name))
    names = [_span(column[0].updates[0], column[-1].last) for column in columns]
    values = [[float(counts[name][i]) for i in range(len(columns))] for name in rows]
    title, note = f"{words.content.capitalize()}s over time", f"{words.thing.capitalize()}s begun, by update."
    return HeatMap(title, note, words.content, rows, names, values)


def _fates(found: Sequence[Life], stages: Sequence[str], words: SlotWords) -> HeatMap:
    """Count how far things came."""
    rows = sorted({life.content for life in found})
    endings = sorted({life.ending for life in found if life.ending is not None})
    counts = Counter((life.content, life.ending or life.stage) for life in found)
    columns = [*stages, *(ending for ending in endings if ending not in stages)]
    columns = [column for column in columns if any(counts[row, column] for row in rows)]
    values = [[float(counts[row, column]) for column in columns] for row in rows]
    note = f"{words.thing.capitalize()}s of the whole run, by their last stage."
    return HeatMap("What became of them", note, words.content, rows, columns, values)


def _where(late: Sequence[Life], slots: Sequence[str], span: str, words: SlotWords) -> HeatMap:
    """Count what was begun in which slot."""
    counts = Counter((life.slot, life.content) for life in late)
    columns = sorted({life.content for life in late})
    values = [[float(counts[slot, column]) for column in columns] for slot in slots]
    note = f"{words.thing.capitalize()}s begun in {span}."
    return HeatMap(f"Where: slot × {words.content}", note, "slot", slots, columns, values)


def _when(
    late: Sequence[Life], slots: Sequence[str], episodes: Sequence[dict[str, Any]], span: str, words: SlotWords
) -> HeatMap:
    """Return the share of episodes in which a slot held something at a step."""
    steps = max(episode["step"] for episode in episodes) + 1
    size = -(-steps // (2 * COLUMNS))
    spans = [(start, min(start + size, steps)) for start in range(0, steps, size)]
    held: dict[str, list[int]] = {slot: [0] * len(spans) for slot in slots}
    for life in late:
        for i in range(life.start // size, min(-(-life.end // size), len(spans))):
            start, end = spans[i]
            held[life.slot][i] += max(0, min(end, life.end) - max(start, life.start))
    values = [
        [count / ((end - start) * len(episodes)) for count, (start, end) in zip(held[slot], spans, strict=True)]
        for slot in slots
    ]
    columns = [_span(start, end - 1) for start, end in spans]
    note = f"Share of the episodes of {span} in which the slot held a {words.thing} at that step."
    return HeatMap("Where: slot × step", note, "slot", slots, columns, values, bare=True, share=True)


def _timeline(record: Record, found: Sequence[Life], stages: Sequence[str], update: int, *, folded: bool) -> Timeline:
    """Draw every life of an update."""
    words = record.slot_words
    mine = [life for life in found if life.update == update]
    episodes = {e["env"]: e for e in record.episodes if e["update"] == update}
    steps = max([life.end for life in mine] + [e["step"] + 1 for e in episodes.values()], default=1)
    envs = sorted({life.env for life in mine} | set(episodes))
    shown = [envs[i] for i in spread(len(envs), BOARDS)]
    slots = _slots(record, mine)
    boards = []
    for env in shown:
        tracks = [
            Track(slot, [_lane(life, stages, steps) for life in mine if (life.env, life.slot) == (env, slot)])
            for slot in slots
        ]
        boards.append(Board(f"environment {env}", _told(episodes.get(env), record.words), tracks))
    note = f"{words.thing.capitalize()}s of update {update}, one row per slot, step by step from left to right."
    if len(shown) < len(envs):
        note += f" {len(shown)} of {len(envs)} environments are drawn."
    rows = [
        [
            str(life.env),
            life.slot,
            life.content,
            ", ".join(f"{s.stage} {s.start}–{s.end - 1}" for s in life.stretches),
            life.ending or "kept to the end",
        ]
        for life in sorted(mine, key=lambda life: (life.env, life.slot, life.start))
    ]
    table = Table(["environment", "slot", words.content, "stages and their steps", "ended"], rows)
    return Timeline(f"Timeline, update {update}", note, stages[: SHADES * 2], steps, boards, table, folded)


def _lane(life: Life, stages: Sequence[str], steps: int) -> Lane:
    length = max(life.end - life.start, 1)
    bars = []
    for stretch in life.stretches:
        alpha = "" if stretch.alpha is None else f", alpha {short(stretch.alpha)}"
        said = f"{life.content}, {stretch.stage}, steps {stretch.start} to {max(stretch.end - 1, stretch.start)}{alpha}"
        bars.append(
            Bar(
                round(100 * (stretch.start - life.start) / length, 2),
                round(100 * max(stretch.end - stretch.start, 0) / length, 2),
                min(stages.index(stretch.stage), SHADES - 1),
                said,
            )
        )
    return Lane(round(100 * life.start / steps, 2), round(100 * length / steps, 2), life.content, bars, life.ending)


def _topology(
    record: Record, found: Sequence[Life], stages: Sequence[str], slots: Sequence[str], update: int
) -> Topology | None:
    """Draw what every environment ended with, the best episode first."""
    episodes = [e for e in record.episodes if e["update"] == update]
    episodes.sort(key=lambda e: -(number(e.get("return")) or 0.0))
    chains = []
    for episode in episodes[:BOARDS]:
        held = {
            life.slot: life for life in found if (life.update, life.env, life.ending) == (update, episode["env"], None)
        }
        chains.append(
            (
                f"environment {episode['env']}",
                _told(episode, record.words),
                _chain(episode, held, stages, slots, record.slot_words),
            )
        )
    note = (
        f"What each slot held when the episodes of update {update} ended, the best return first. "
        f"The stronger its edge, the further a {record.slot_words.thing} came; alpha is that of its last event."
    )
    return Topology("Final topology", note, chains) if chains else None


def _chain(
    episode: dict[str, Any], held: dict[str, Life], stages: Sequence[str], slots: Sequence[str], words: SlotWords
) -> list[Part]:
    parts = []
    whole = number(episode.get(words.whole_parameters))
    added = 0.0
    for slot in slots:
        life = held.get(slot)
        if life is None:
            parts.append(Part(slot, "empty", [], None))
            continue
        size = number(life.last.get("parameters"))
        added += size or 0.0
        alpha = number(life.last.get("alpha"))
        joined = [str(life.last["blend"])] if life.last.get("blend") else []
        joined += [f"alpha {short(alpha)}"] if alpha is not None else []
        facts = [life.stage, *([", ".join(joined)] if joined else [])]
        facts += [f"{short(size)} parameters"] if size is not None else []
        parts.append(Part(slot, life.content, facts, min(stages.index(life.stage), SHADES - 1)))
    if whole is not None:
        parts.insert(0, Part(words.whole, f"{short(whole)} parameters", [], None))
        factor = [f"{(whole + added) / whole:.2f} × the {words.whole}"] if whole else []
        parts.append(Part("all", f"{short(whole + added)} parameters", factor, None))
    return parts


def _told(episode: dict[str, Any] | None, words: Words) -> str:
    """Return what an episode says about itself in a few words."""
    if episode is None:
        return "not ended"
    said = [f"instance {episode['instance']}"] if "instance" in episode else []
    for headline in by_place(words.everywhere)[:2]:
        value = number(episode.get(headline.name))
        said += [f"{headline.short} {fixed(value)}"] if value is not None else []
    return ", ".join(said)


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}–{last}"
