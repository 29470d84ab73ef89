"""What an evaluation measured, episode by episode, as it is kept in benchmarks/records."""

from __future__ import annotations

import json
import lzma
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from attrs import asdict, frozen

from esper_core.composition.plan import describe_plan
from esper_core.contracts.state import Outcome
from esper_core.registry.index import Component
from esper_core.registry.loading import load_index
from esper_core.runs.directory import RunDirectory
from esper_core.system.content import differences
from esper_core.system.json_files import read_json, read_lines
from esper_core.system.shape import structured
from esper_evaluation.arms import OWN, POLICY, Arm
from esper_evaluation.comparison import Comparison, compare
from esper_evaluation.looked import IQM
from esper_evaluation.records import ABOUT_FILE, EPISODES_FILE
from esper_evaluation.statistics import Values
from esper_evaluation.stratified import Stratified, paired_mean

ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "benchmarks" / "records"
SUFFIX = ".json.xz"


@frozen
class Record:
    """What an evaluation measured: as `esper evaluate --json` has it, but for what follows from the rest.

    Attributes:
        about: Circumstances: components with options, sources, libraries, processor.
        policies: Policy seed → digest of a checkpoint.
        updates: Updates of each policy.
        slots: What all arms played with.
        arms: Names, rules and others, in the order of the evaluation.
        outcomes: What was measured, the first of which decides.
        instances: Numbers of the instances.
        together: So many instances side by side are one, seen from as many sides.
        values: Arm → outcome → one row per policy seed, or one, with a number for every instance.
        tags: Word → what the environment says about every instance.
        declared: What decides, such as `iqm`.
        training: Rule → mean of the first outcome on training instances.
        search: What the search for `best-fixed` cost; null without it.
    """

    about: dict[str, Any]
    policies: dict[str, str]
    updates: list[int]
    slots: list[str]
    arms: list[str]
    outcomes: list[dict[str, Any]]
    instances: list[int]
    together: int
    values: dict[str, dict[str, list[list[float]]]]
    tags: dict[str, list[str]]
    declared: str
    training: dict[str, float]
    search: dict[str, Any] | None

    @property
    def first(self) -> str:
        """Name of the outcome that decides."""
        return str(self.outcomes[0]["name"])

    @property
    def kinds(self) -> list[str]:
        """The kind of every instance, as the comparison names it."""
        return [", ".join(said) for said in zip(*(self.tags[word] for word in sorted(self.tags)), strict=True)]

    def compared(self, by: str | None = None) -> Comparison:
        """Return the comparison that `esper evaluate` makes, within groups of a word of the tags too."""
        own = {arm.name: arm for arm in OWN}
        # All that a comparison asks of a rule is whether it is one.
        rule = cast(Component, object())
        outcomes = [Outcome(**outcome) for outcome in self.outcomes]
        return compare(
            [own.get(name, Arm(name, "", rule=rule)) for name in self.arms],
            outcomes,
            {arm: {name: np.array(rows) for name, rows in found.items()} for arm, found in self.values.items()},
            self.instances,
            [int(seed) for seed in self.policies],
            [dict(zip(self.tags, words, strict=True)) for words in zip(*self.tags.values(), strict=True)],
            by,
            self.together,
            self.declared,
            {name: {outcomes[0].name: value} for name, value in self.training.items()},
        )


class Side(NamedTuple):
    """One side of a difference.

    Attributes:
        name: What the record is called in a message.
        record: Who has played.
        arm: Whose outcome it is.
    """

    name: str
    record: Record
    arm: str = POLICY

    def reached(self, outcome: str | None = None) -> Values:
        """Return an outcome of the arm, `[S, I]`, the one that decides unless another is named.

        Raises:
            ValueError: there is none.
        """
        if self.arm not in self.record.arms:
            raise ValueError(f"{self.name} has no arm '{self.arm}'; there are {', '.join(self.record.arms)}")
        found, name = self.record.values[self.arm], outcome or self.record.first
        if name not in found:
            raise ValueError(f"{self.name} has no outcome '{name}'; there are {', '.join(found)}")
        return np.array(found[name])


def paired(one: Side, other: Side, chosen: Sequence[int] | slice = slice(None)) -> Stratified:
    """Return the mean difference of two sides, as `paired-mean` takes it, of the chosen instances.

    Raises:
        ValueError: they have played different instances, or lack an arm or an outcome.
    """
    record = one.record
    if (record.instances, record.tags) != (other.record.instances, other.record.tags):
        raise ValueError(f"{one.name} and {other.name} are of other instances")
    values = [side.reached(record.first)[:, chosen] for side in (one, other)]
    return paired_mean(values[0] - values[1], np.array(record.kinds)[chosen].tolist(), record.together)


def is_kept(name: str) -> bool:
    """Return whether there is a record of this name."""
    return (RECORDS / f"{name}{SUFFIX}").is_file()


def save(path: Path, value: Any) -> Path:
    """Write JSON, compressed; return where."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(lzma.compress(json.dumps(value).encode(), preset=9 | lzma.PRESET_EXTREME))
    return path


def saved(path: Path) -> Any:
    """Return what `save` wrote; raises ValueError where there is nothing."""
    if not path.is_file():
        raise ValueError(f"there is no record {path}")
    return json.loads(lzma.decompress(path.read_bytes()))


@cache
def read(name: str) -> Record:
    """Return a record that is kept; raises ValueError where there is none."""
    return structured(Record, saved(RECORDS / f"{name}{SUFFIX}"))


def measured(document: Mapping[str, Any]) -> Record:
    """Return the record of an evaluation, from what `esper evaluate --json` has printed and what it has kept.

    Raises:
        ValueError: the document does not follow from the episodes.
    """
    needed = ("records", "runs", "arms", "outcomes", "policy_seeds", "checkpoints", "instance_numbers", "primary")
    if not isinstance(document, Mapping) or not {*needed, "secondary", "groups", "search"} <= document.keys():
        raise ValueError("the document is not what `esper evaluate --json` prints")
    folder = Path(document["records"])
    episodes = [line.entry for line in read_lines(folder / EPISODES_FILE)]
    # Of an arm that was played in several versions the last one counts; the comparison below is of these alone.
    lines = {(episode["arm"], episode["seed"], episode["instance"]): episode for episode in episodes}
    instances, arms = document["instance_numbers"], list(document["arms"])
    names = [outcome["name"] for outcome in document["outcomes"]]

    def rows(arm: str) -> list[list[dict[str, Any]]]:
        seeds = document["policy_seeds"] if (arm, None, instances[0]) not in lines else [None]
        return [[lines[arm, seed, instance] for instance in instances] for seed in seeds]

    try:
        found = {arm: rows(arm) for arm in arms}
    except KeyError as error:
        raise ValueError(f"{folder / EPISODES_FILE} lacks the episode {error}") from None
    said = found[arms[0]][0]
    learned = next((found[arm.name] for arm in OWN if arm.learned and arm.name in found), [])
    primary, secondary = document["primary"] or {}, document["secondary"]
    record = Record(
        about=read_json(folder / ABOUT_FILE),
        policies={str(row[0]["seed"]): row[0]["version"] for row in learned}
        or {str(seed): "" for seed in document["policy_seeds"]},
        updates=document["checkpoints"],
        slots=document["slots"],
        arms=arms,
        outcomes=document["outcomes"],
        instances=instances,
        together=sides_of(Path(document["runs"][0])),
        values={
            arm: {name: [[e["outcomes"][name] for e in row] for row in own] for name in names}
            for arm, own in found.items()
        },
        tags={word: [episode["tags"][word] for episode in said] for word in sorted(said[0]["tags"])},
        declared=primary.get("by", IQM),
        training=secondary["training"],
        search=document["search"],
    )
    by = next((word for word, own in record.tags.items() if set(own) == set(document["groups"])), None)
    again = json.loads(json.dumps(record.compared(by).to_json()))
    if changes := list(differences(again, {name: document[name] for name in again})):
        raise ValueError(f"the document does not follow from {folder / EPISODES_FILE}: {'; '.join(changes)}")
    return record


def sides_of(run: Path) -> int:
    """Return from how many sides each instance of a run is played."""
    return max(1, len(describe_plan(RunDirectory.open(run).plan, load_index()).sides))


def keep(record: Record, name: str) -> Path:
    """Write a record, compressed; return where."""
    return save(RECORDS / f"{name}{SUFFIX}", asdict(record))
