"""The lives of the things in slots, read from events.

An event that names a `slot` and a `stage` says what became of that slot at its step; `esper_core.SlotWords` says what
else it may hold. With null `parameters` the slot is empty again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import define, field, frozen

from esper_core.contracts.events import EPISODE
from esper_evaluation.report.record import number


@frozen
class Stretch:
    """Steps in which a thing kept its stage.

    Attributes:
        start, end: First step, and the one after the last.
        alpha: Amplitude when it began; None where events do not say.
    """

    stage: str
    start: int
    end: int
    alpha: float | None


@define
class Life:
    """One thing in a slot, from its first event to its last step.

    Attributes:
        ending: Stage that ended it; None while the episode lasted.
        last: Its last event that still held something.
    """

    update: int
    env: int
    slot: str
    content: str
    stretches: list[Stretch] = field(factory=list)
    ending: str | None = None
    last: Mapping[str, Any] = field(factory=dict, repr=False)

    @property
    def start(self) -> int:
        """Step at which it began."""
        return self.stretches[0].start

    @property
    def end(self) -> int:
        """Step after its last."""
        return self.stretches[-1].end

    @property
    def stage(self) -> str:
        """Its last stage."""
        return self.stretches[-1].stage


def slot_events(events: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the events that say what became of a slot."""
    return [event for event in events if event["type"] != EPISODE and "slot" in event and "stage" in event]


def lives(events: Sequence[Mapping[str, Any]], content: str) -> list[Life]:
    """Return every life of some updates, in the order in which they began within their slot.

    Args:
        events: What is told.
        content: Key under which an event says what a slot holds.
    """
    lengths = {(e["update"], e["env"]): e["step"] + 1 for e in events if e["type"] == EPISODE}
    by_slot: dict[tuple[int, int, str], list[Mapping[str, Any]]] = defaultdict(list)
    for event in slot_events(events):
        by_slot[event["update"], event["env"], str(event["slot"])].append(event)
    found = []
    for (update, env, slot), told in by_slot.items():
        last = max(event["step"] for event in told) + 1
        found += _lives_of((update, env, slot), content, told, max(lengths.get((update, env), last), last))
    return found


def _lives_of(place: tuple[int, int, str], content: str, told: list[Mapping[str, Any]], length: int) -> list[Life]:
    found: list[Life] = []
    life: Life | None = None
    ends = [event["step"] for event in told[1:]] + [length]
    for event, end in zip(told, ends, strict=True):
        stage = str(event["stage"])
        if event.get("parameters", 0) is None:
            if life is not None:
                life.ending = stage
            life = None
            continue
        if life is None:
            life = Life(*place, str(event.get(content, "")))
            found.append(life)
        life.last = event
        stretch = Stretch(stage, event["step"], end, number(event.get("alpha")))
        before = life.stretches[-1] if life.stretches else None
        if before is not None and (before.stage == stage or before.start == before.end):
            # The same stage goes on, or the earlier one was left within its step.
            life.stretches[-1] = Stretch(
                stage, before.start, end, before.alpha if before.stage == stage else stretch.alpha
            )
        else:
            life.stretches.append(stretch)
    return found


def stage_order(found: Iterable[Life]) -> list[str]:
    """Return the stages in the order in which things go through them."""
    ranks: dict[str, list[int]] = {}
    for life in found:
        seen: dict[str, int] = {}
        for rank, stretch in enumerate(life.stretches):
            seen.setdefault(stretch.stage, rank)
        for stage, rank in seen.items():
            ranks.setdefault(stage, []).append(rank)
    return sorted(ranks, key=lambda stage: (sum(ranks[stage]) / len(ranks[stage]), stage))
