"""Several runs side by side: where their plans differ, and what came of it where they can be compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import frozen

from esper_core.composition.plan import Plan
from esper_core.contracts.errors import UserError
from esper_core.runs.directory import RunDirectory
from esper_evaluation.report.record import Record, number
from esper_evaluation.student import Interval, difference, mean_interval

OF_POLICIES = ("network", "features", "critic", "masks", "loss")
"""Kinds of which a policy is made; the others make up what it is trained in."""


@frozen
class Difference:
    """Something that is not the same in all runs; None where a run does not have it."""

    name: str
    values: tuple[Any, ...]


@frozen
class Outcome:
    """What came of a number that episodes report.

    Attributes:
        intervals: Per run, mean and 95 % interval over its episodes in the window.
        change: Second minus first run; None unless two runs are compared.
    """

    name: str
    intervals: tuple[Interval | None, ...]
    change: Interval | None


@frozen
class Comparison:
    """Runs side by side.

    Attributes:
        window: Updates that are compared: the last quarter of those that all runs have.
        plan, made_with: What differs in plans; in code, libraries and machine.
        outcomes: Numbers of episodes.
        metrics: All other metrics, means over the window.
    """

    records: Sequence[Record]
    window: range
    plan: list[Difference]
    made_with: list[Difference]
    outcomes: list[Outcome]
    metrics: list[Difference]
    notes: list[str]

    @property
    def names(self) -> list[str]:
        """Names of the runs."""
        return [record.run.name for record in self.records]

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as JSON-able values; lists have an entry per run, in the order of `runs`."""
        return {
            "runs": [
                {
                    "name": r.run.name,
                    "path": str(r.run.path),
                    "updates": len(r.lines),
                    "updates_planned": r.plan.updates,
                }
                for r in self.records
            ],
            "window": [self.window.start, self.window.stop - 1] if self.window else None,
            "plan": {row.name: list(row.values) for row in self.plan},
            "made_with": {row.name: list(row.values) for row in self.made_with},
            "outcomes": {
                row.name: {"intervals": [_interval(i) for i in row.intervals], "difference": _interval(row.change)}
                for row in self.outcomes
            },
            "metrics": {row.name: list(row.values) for row in self.metrics},
            "notes": self.notes,
        }


def compare(runs: Sequence[RunDirectory]) -> Comparison:
    """Compare runs.

    Raises:
        UserError: fewer than two runs, or the same one twice.
        EsperError: a file of a run is damaged.
    """
    paths = [run.path.resolve() for run in runs]
    if len(set(paths)) < max(2, len(paths)):
        raise UserError("Comparing takes two different runs or more.", hint="See: esper runs list")
    records = [Record.read(run) for run in runs]
    shared = min(len(record.lines) for record in records)
    window = range(shared - max(1, shared // 4) + 1, shared + 1) if shared else range(0)
    outcomes = _outcomes(records, window)
    told = {outcome.name for outcome in outcomes}
    names = dict.fromkeys(name for record in records for name in record.metric_names)
    metrics = [Difference(n, tuple(_mean(r, n, window) for r in records)) for n in names if n not in told]
    return Comparison(
        records=records,
        window=window,
        plan=plan_differences([record.plan for record in records]),
        made_with=_differences([_made_with(record.run.record) for record in records]),
        outcomes=outcomes,
        metrics=[row for row in metrics if any(value is not None for value in row.values)],
        notes=_notes(records, window),
    )


def plan_differences(plans: Sequence[Plan]) -> list[Difference]:
    """Return every setting that is not the same in all plans."""
    return _differences([_flat_plan(plan) for plan in plans])


def _outcomes(records: Sequence[Record], window: range) -> list[Outcome]:
    names = dict.fromkeys(name for record in records for name in record.episode_names)
    outcomes = []
    for name in sorted(names, key=lambda name: name != "return"):
        samples = [record.of_episodes(name, window) for record in records]
        change = difference(*samples) if len(samples) == 2 else None
        outcomes.append(Outcome(name, tuple(map(mean_interval, samples)), change))
    return outcomes


def _mean(record: Record, name: str, window: range) -> float | None:
    known = [v for line in record.lines if line["update"] in window and (v := number(line.get(name))) is not None]
    return sum(known) / len(known) if known else None


def _flat_plan(plan: Plan) -> dict[str, Any]:
    flat: dict[str, Any] = {
        "policy": plan.policy,
        "slots": ", ".join(plan.slots),
        "slots drawn": ", ".join(map(str, plan.drawn)) or None,
        "init": None if plan.init is None else f"{plan.init.run}, update {plan.init.update}",
        **{key: getattr(plan, key) for key in ("seed", "envs", "updates", "device", "threads", "precision")},
    }
    for kind in plan.kinds:
        several = plan.of_kind(kind)
        flat[kind] = ", ".join(component.name for component in several)
        for component in several:
            prefix = kind if len(several) == 1 else f"{kind}.{component.name}"
            flat |= {f"{prefix}.{key}": value for key, value in component.config.items()}
    return flat | {f"train.{key}": value for key, value in plan.train.items()}


def _made_with(record: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {"device": record.get("device")}
    for name, entry in _table(record, "distributions").items():
        if isinstance(entry, dict):
            flat |= {name: entry.get("version"), f"{name}, digest of its source": entry.get("source")}
    flat |= _table(record, "libraries")
    flat |= {key: value for key, value in _table(record, "machine").items() if key != "executable"}
    return flat | {f"git {key}": value for key, value in _table(record, "git").items()}


def _table(record: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = record.get(key)
    return value if isinstance(value, dict) else {}


def _differences(tables: Sequence[Mapping[str, Any]]) -> list[Difference]:
    names = dict.fromkeys(name for table in tables for name in table)
    rows = [Difference(name, tuple(table.get(name) for table in tables)) for name in names]
    return [row for row in rows if any(value != row.values[0] for value in row.values)]


def _notes(records: Sequence[Record], window: range) -> list[str]:
    notes = []
    lengths = [len(record.lines) for record in records]
    if not window:
        notes.append("A run has no update yet, so there is nothing to compare but plans.")
    elif len(set(lengths)) > 1:
        notes.append(f"The runs have {_listed(lengths)} updates; what the longer ones did later is left out.")
    steps = [record.lines[window.stop - 2]["environment_steps"] for record in records] if window else []
    if len(set(steps)) > 1:
        notes.append(f"By update {window.stop - 1} they had taken {_listed(steps)} environment steps.")

    def differs(value: Callable[[Plan], Any]) -> bool:
        return any(value(record.plan) != value(records[0].plan) for record in records)

    if differs(lambda plan: [(c.kind, c.name, c.config) for c in plan.components if c.kind not in OF_POLICIES]):
        notes.append(
            "They were trained on different environments or settings of these, so returns may not be comparable."
        )
    if differs(lambda plan: plan.slots):
        notes.append("They have different slots, so what can be done differs.")
    seeds = [record.plan.seed for record in records]
    notes.append(
        f"Each run is one seed ({_listed(seeds)}). An interval says how sure the mean of a run's episodes is, and "
        "nothing about what another seed would have given; for that, train each policy with several seeds."
    )
    return notes


def _listed(values: Sequence[object]) -> str:
    return f"{', '.join(map(str, values[:-1]))} and {values[-1]}"


def _interval(interval: Interval | None) -> dict[str, Any] | None:
    if interval is None:
        return None
    return {"mean": interval.mean, "low": interval.low, "high": interval.high, "episodes": interval.count}
