"""What the spike does, in parts: every probe with every one of its seeds."""

from __future__ import annotations

import contextlib
import math
import sys
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from attrs import asdict, frozen

from esper_core.composition.plan import Plan
from esper_core.contracts.errors import UserError
from esper_core.registry.index import Index
from esper_core.registry.sources import blamed
from esper_core.system.crew import Crew
from esper_core.system.machine import cores
from esper_core.system.processes import Answer, Purpose
from esper_factored_ppo.probes.playing import measure
from esper_factored_ppo.probes.probe import Probe
from esper_testing.spikes.verdict import Category, CheckResult, Failure, ProbeResult, Verdict

PURPOSE = Purpose(
    name="esper-probes",
    doing="training a probe",
    killed="It may have been killed for lack of memory. Run fewer probes at a time with --only.",
    died="Find out which probe it was with --only.",
    blame=blamed,
)


Run = dict[str, Any]
"""The outcome of a task, JSON-able: what was `measured`, quantity → number, nothing where it failed; the `seconds` it
took; and the `failure` that ended it, or None."""


class Task(NamedTuple):
    """One run of a probe."""

    probe: str
    seed: int

    @property
    def name(self) -> str:
        """Which it is, in words."""
        return f"{self.probe}, seed {self.seed}"


@frozen
class ProbeWork:
    """The probes of a plan's components.

    Attributes:
        plan: What is trained, from `without_environment`.
        probes: On what.
    """

    plan: Plan
    index: Index
    probes: Sequence[Probe]

    @property
    def parts(self) -> list[str]:
        """Names of all runs, probe by probe."""
        return [*self._tasks]

    def do(
        self, parts: Sequence[str], on_result: Callable[[CheckResult], None] | None = None
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Run some of them; yield each as it ends."""
        tasks = [self._tasks[part] for part in parts]
        named = {probe.name: probe for probe in self.probes}
        if not tasks:
            return
        with contextlib.closing(_results(partial(_run, self.plan, self.index, named), tasks)) as results:
            for task, run in results:
                yield task.name, run
                if on_result is not None:
                    reached = _reached(named[task.probe], run)
                    on_result(CheckResult(task.probe, f"seed {task.seed}", "passed" if reached else "failed"))

    def judge(self, results: Mapping[str, Run]) -> Verdict:
        """Return the verdict on what came of all runs."""
        tasks = self._tasks
        runs = {
            probe.name: [results[name] for name, task in tasks.items() if task.probe == probe.name]
            for probe in self.probes
        }
        probes = [_judge(probe, runs[probe.name]) for probe in self.probes]
        passed = sum(result.passed for result in probes)
        failures = (results[name]["failure"] for name in tasks)
        return Verdict(
            spike="ppo-probes",
            policy=self.plan.policy,
            categories=(Category(name="probes", declared=len(probes), passed=passed, failed=len(probes) - passed),),
            failures=tuple(Failure(**failure) for failure in failures if failure is not None),
            probes=tuple(probes),
            seconds=sum(result["seconds"] for result in results.values()),
        )

    @property
    def _tasks(self) -> dict[str, Task]:
        tasks = [Task(probe.name, self.plan.seed + seed) for probe in self.probes for seed in probe.seeds]
        return {task.name: task for task in tasks}


def _results(work: Callable[[Task], Run], tasks: Sequence[Task]) -> Generator[tuple[Task, Run], None, None]:
    """Yield each task with its result, as they are done in several processes."""
    left = iter(tasks)
    with Crew(PURPOSE, [partial(_itself, work)] * min(cores(), len(tasks))) as crew:
        yield from crew.work(lambda: next(left, None))


def _itself(work: Answer) -> Answer:
    return work


def _run(plan: Plan, index: Index, probes: Mapping[str, Probe], task: Task) -> Run:
    """Run one task; errors other than UserError become a failed run."""
    started = time.monotonic()
    try:
        # Standard output is for the verdict.
        with contextlib.redirect_stdout(sys.stderr):
            measured = measure(probes[task.probe], plan, index, task.seed)
        # What is no finite number is not JSON, and reaches no goal.
        measured = {quantity: value for quantity, value in measured.items() if math.isfinite(value)}
        return {"measured": measured, "seconds": time.monotonic() - started, "failure": None}
    except UserError:
        raise
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        failure = Failure(
            category="probes",
            check=task.name,
            slots=None,
            message=f"{type(error).__name__}: {error}",
            file=frame.filename,
            line=frame.lineno or 0,
        )
        return {"measured": {}, "seconds": time.monotonic() - started, "failure": asdict(failure)}


def _judge(probe: Probe, runs: Sequence[Run]) -> ProbeResult:
    good = sum(_reached(probe, run) for run in runs)
    return ProbeResult(
        name=probe.name,
        expected=probe.expected,
        measured={quantity: tuple(run["measured"].get(quantity) for run in runs) for quantity in probe.goals},
        passed=good >= probe.needed,
        seconds=sum(run["seconds"] for run in runs),
    )


def _reached(probe: Probe, run: Run) -> bool:
    return run["failure"] is None and set(probe.goals) <= set(run["measured"]) and probe.reached(run["measured"])
