"""What a run wrote, read back and checked, so that pages need not doubt it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from attrs import define, field

from esper_core.composition.plan import Plan
from esper_core.contracts.events import EPISODE, episode_numbers
from esper_core.contracts.state import SlotWords
from esper_core.runs.directory import RunDirectory
from esper_core.runs.records import RESERVED
from esper_core.runs.words import Words

LARGEST = 1e100
"""Largest number that is drawn: sums and squares of what is larger are no numbers any more."""


@define
class Record:
    """A run as its files tell it.

    Attributes:
        run: Its directory.
        plan: What it is made of.
        lines: Metrics lines, one per update, in order.
        events: The environment's events of those updates.
    """

    run: RunDirectory
    plan: Plan
    lines: list[dict[str, Any]] = field(repr=False)
    events: list[dict[str, Any]] = field(repr=False)

    @classmethod
    def read(cls, run: RunDirectory) -> Record:
        """Read a run, also one that goes on or was cut off.

        Raises:
            DamagedFile: a damaged line, named with its file and number.
        """
        lines = run.metrics()
        updates = {line["update"] for line in lines}
        events = run.events()
        # Events are written before the metrics of their update; those of an update in flight wait for the next report.
        return cls(run, run.plan, lines, [event for event in events if event["update"] in updates])

    @property
    def words(self) -> Words:
        """What the run calls what it reports."""
        return self.run.words

    @property
    def slot_words(self) -> SlotWords:
        """What its events call the things in slots."""
        return self.words.slots or SlotWords()

    @property
    def updates(self) -> list[int]:
        """Numbers of the updates done."""
        return [line["update"] for line in self.lines]

    @property
    def metric_names(self) -> list[str]:
        """Names of all metrics, in the order in which they first appear."""
        return list(dict.fromkeys(name for line in self.lines for name in line if name not in RESERVED))

    def metric(self, name: str) -> list[float | None]:
        """Return a metric at every update; None where it is undefined."""
        return [number(line.get(name)) for line in self.lines]

    @property
    def episodes(self) -> list[dict[str, Any]]:
        """Events of episodes that ended."""
        return [event for event in self.events if event["type"] == EPISODE]

    @property
    def episode_names(self) -> list[str]:
        """Names of the numbers that every episode reports and that are metrics."""
        names = dict.fromkeys(name for episode in self.episodes for name in episode_numbers(episode))
        known = set(self.metric_names)
        return [name for name in names if name in known]

    def of_episodes(self, name: str, updates: Iterable[int]) -> list[float]:
        """Return a number of all episodes of some updates; undefined ones are left out."""
        wanted = set(updates)
        values = (number(episode_numbers(e).get(name)) for e in self.episodes if e["update"] in wanted)
        return [value for value in values if value is not None]

    def last_quarter(self) -> list[int]:
        """Return the last quarter of the updates done, at least one."""
        return self.updates[-max(1, len(self.lines) // 4) :]


def number(value: Any) -> float | None:
    """Return a number that can be computed with, or None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST:
        return None
    return float(value)
