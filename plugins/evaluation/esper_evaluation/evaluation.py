"""What came of an evaluation: numbers, a verdict, and how they are put for people and for machines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from attrs import asdict, frozen

from esper_core.cli.output import number, table
from esper_core.composition.fit import TEACHER
from esper_core.composition.selection import TRAIN
from esper_core.system.printable import visible_line
from esper_evaluation.arms import OWN, POLICY
from esper_evaluation.entrants import Entrant
from esper_evaluation.looked import PAIRED, Look, shown
from esper_evaluation.report.comparison import Difference, plan_differences

if TYPE_CHECKING:
    from esper_evaluation.comparison import Comparison, Contrast
    from esper_evaluation.search import Found
    from esper_evaluation.selector import Selector
    from esper_evaluation.statistics import Estimate


FEW = 10
"""Instances below which percentiles of resamples are known to be too narrow."""


class Table(NamedTuple):
    """A line per arm; `marked` are the numbers of those that stand out: the policy and the best rule."""

    header: list[str]
    rows: list[list[str]]
    marked: list[int]


@frozen(repr=False)
class Evaluation:
    """Arms side by side on the same instances. As a string it is the table that `esper evaluate` prints.

    Attributes:
        comparison: Estimates per arm and outcome, and the policy against the best rule.
        look: Which held-out instances were played.
        entrants: The policies, each a checkpoint of a run.
        found: The schedule of `best-fixed`, where it took part.
        selector: The tree of `selector`, where it took part.
        chosen: Rule → on how many of the instances the selector took it.
        trained: Episodes that a policy was trained with.
        played: Episodes that were not on record before, those of the search included.
        records: Folder of all episodes.
        figure: A picture, PNG.
        film: A film of an episode, if one was asked for.
        notes: What whoever reads this should know: differences between a checkpoint and what is installed, and why
            episodes on record were not used.
    """

    comparison: Comparison
    look: Look
    entrants: tuple[Entrant, ...]
    found: Found | None
    selector: Selector | None
    chosen: Mapping[str, int]
    trained: int
    played: int
    records: Path
    figure: Path
    film: Path | None
    notes: tuple[str, ...]

    @property
    def arms(self) -> Mapping[str, Mapping[str, Estimate]]:
        """Arm → outcome → IQM, or mean, with its 95 % interval (`value`, `low`, `high`); the best arm comes first."""
        return self.comparison.arms

    @property
    def verdict(self) -> str | None:
        """The policy against the best rule: "better", "worse", "no difference shown"; None without one of them."""
        primary = self.comparison.primary
        return None if primary is None else primary.verdict

    def to_json(self) -> dict[str, Any]:
        """Return what `esper evaluate --json` prints, JSON-able; docs/evaluation.md says what it holds."""
        search = None
        if self.found is not None:
            search = {key: value for key, value in asdict(self.found).items() if key != "rows"}
            search["training_episodes"] = self.trained
        run = self.entrants[0].run
        return {
            **self.comparison.to_json(),
            "fresh": self.look.fresh and not self.look.again,
            "runs": [str(entrant.run.shown()) for entrant in self.entrants],
            "checkpoints": [entrant.header.update for entrant in self.entrants],
            "slots": list(self.entrants[0].plan.slots),
            "trained_slots": list(self.entrants[0].header.plan.slots),
            "trained_drawn": list(self.entrants[0].header.plan.drawn),
            "elsewhere": {row.name: row.values[1] for row in self._elsewhere()},
            "search": search,
            "selector": self.selector and {**self.selector.to_json(), "chosen": dict(self.chosen)},
            "played": self.played,
            "records": str(run.shown(self.records)),
            "figure": str(run.shown(self.figure)),
            "film": None if self.film is None else str(self.film),
        }

    def __repr__(self) -> str:
        lines: list[str] = []
        for block in self.blocks():
            lines += table(block.header, block.rows) if isinstance(block, Table) else [visible_line(block)]
        return "\n".join(lines)

    def blocks(self) -> Iterator[Table | str]:
        """Yield what people are told, tables and lines."""
        comparison, first = self.comparison, self.comparison.outcomes[0].name
        yield self._table([outcome.name for outcome in comparison.outcomes], comparison.arms)
        over = [f"{len(comparison.instances)} held-out instances"]
        if self.look.first:
            over.append(shown(self.look.first, self.look.count))
        if any(arm.learned and arm.name in comparison.arms for arm in OWN):
            seeds = ", ".join(f"{entrant.seed} (update {entrant.header.update})" for entrant in self.entrants)
            over.append(f"and policy seeds {seeds}")
        best = "; * is the best rule" if comparison.best_rule else ""
        training = " on training instances" if comparison.training else ""
        yield ""
        yield f"{self._located()} [95 % interval] over {', '.join(over)}{best}{training}."
        if self.look.again:
            yield "With --again: somebody may have looked at these instances before."
        if comparison.groups:
            columns = {f"{name} ({group.instances})": group for name, group in comparison.groups.items()}
            arms = {arm: {name: group.arms[arm][first] for name, group in columns.items()} for arm in comparison.arms}
            yield from ("", f"{first} by group of instances, and how many these are:", "")
            yield from (self._table(list(columns), arms), "")
        if comparison.kinds:
            yield from ("", f"{first}, policy minus {comparison.best_rule}, by kind of instance:", "")
            yield Table(["kind", "instances", "difference"], [_kind(*row) for row in comparison.kinds.items()], [])
            yield ""
        if comparison.against:
            yield from ("", f"{first}, policy minus each other arm, the same way:", "")
            beside = [[arm, _between(apart, signed=True)] for arm, apart in comparison.against.items()]
            yield from (Table(["arm", "difference"], beside, []), "")
        if comparison.declared == PAIRED and comparison.primary is not None and comparison.iqm is not None:
            yield _verdict(comparison.primary, f"{first}, mean of the paired differences by kind,")
            iqm = comparison.iqm
            yield f"By IQM, to {iqm.rule}, the best rule on these instances: {_between(iqm.delta, signed=True)}."
        elif comparison.primary is not None and comparison.mean is not None:
            mean = comparison.mean
            other = "" if mean.rule == comparison.primary.rule else f" to {mean.rule}, the best rule by its mean,"
            yield (
                f"{_verdict(comparison.primary, first)[:-1]}; "
                f"mean of the paired differences{other} {_between(mean.delta, signed=True)}."
            )
        if comparison.oracle_gap is not None:
            words = ", ".join(comparison.told_apart_by)
            noise = ", which is within the noise" if comparison.oracle_gap.low <= 0.0 else ""
            yield (
                f"Choosing among the rules by what is known of an instance ({words}) would bring "
                f"{_between(comparison.oracle_gap, signed=True)} on average{noise}."
            )
        if comparison.primary is not None and len(comparison.seeds) == 1:
            yield "One policy seed: the intervals say nothing about what another seed would have given."
        if comparison.primary is not None and len(comparison.instances) < FEW:
            yield f"{len(comparison.instances)} instances: intervals of fewer than {FEW} are too narrow for a verdict."
        played, trained = self.entrants[0].plan, self.entrants[0].header.plan
        if played.slots != trained.slots or trained.drawn:
            there = "" if trained.drawn else f" ({', '.join(trained.slots)})"
            yield (
                f"All arms played with {len(played.slots)} slots ({', '.join(played.slots)}); the policy was trained "
                f"with {trained.slots_said}{there}."
            )
        if rows := self._elsewhere():
            # Options of a component that is another one are its own.
            others = {row.name for row in rows}
            told = [row for row in rows if row.name.partition(".")[0] not in others - {row.name}]
            said = ", ".join(f"{row.name} {row.values[1]} (not {row.values[0]})" for row in told)
            yield f"All arms played where the policy was not trained: {said}."
        if self.found is not None:
            yield (
                f"best-fixed is the best of {self.found.candidates} schedules after {self.found.searched} episodes of "
                f"search; a policy was trained with {self.trained}."
            )
        if self.selector is not None:
            yield f"selector was fitted on {self.selector.instances} training episodes of each rule, and took"
            yield from (f"  {leaf}" for leaf in self.selector.leaves())
        run = self.entrants[0].run
        yield from ("", f"Episodes lie in {run.shown(self.records)}", f"A picture of this: {run.shown(self.figure)}")
        if self.film is not None:
            yield f"A film of an episode: {self.film}"

    def _elsewhere(self) -> list[Difference]:
        """Return what is not as it was in training, but for the slots and for what only learning needs."""
        rows = plan_differences([self.entrants[0].header.plan, self.entrants[0].plan])
        unsaid = ("slots", "slots drawn", TEACHER)
        return [row for row in rows if row.name not in unsaid and row.name.partition(".")[0] not in (TEACHER, TRAIN)]

    def _located(self) -> str:
        means = [outcome.name for outcome in self.comparison.outcomes if outcome.by_mean]
        return f"IQM, of {' and '.join(means)} the mean" if means else "IQM"

    def _table(self, columns: Sequence[str], arms: Mapping[str, Mapping[str, Estimate]]) -> Table:
        best = self.comparison.best_rule
        return Table(
            ["arm", *columns],
            [
                [f"{arm} *" if arm == best else arm, *(_between(estimates[name]) for name in columns)]
                for arm, estimates in arms.items()
            ],
            [row for row, arm in enumerate(arms) if arm in (POLICY, best)],
        )


def _verdict(contrast: Contrast, what: str) -> str:
    words = {
        "better": "The policy is better than the best rule",
        "worse": "The policy is worse than the best rule",
        "no difference shown": "No difference shown between the policy and the best rule",
    }
    return f"{words[contrast.verdict]}, {contrast.rule}: {what} {_between(contrast.delta, signed=True)}."


def _kind(kind: str, found: tuple[int, Estimate | float]) -> list[str]:
    count, difference = found
    told = f"{difference:+.4g}" if isinstance(difference, float) else _between(difference, signed=True)
    return [kind, str(count), told]


def _between(estimate: Estimate, *, signed: bool = False) -> str:
    value = f"{estimate.value:+.4g}" if signed else number(estimate.value)
    return f"{value} [{number(estimate.low)}, {number(estimate.high)}]"
