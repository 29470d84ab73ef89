"""The spike: trains a plan's network, critic and loss on every probe and compares with the known answers."""

from __future__ import annotations

import contextlib
import sys
import time
import traceback
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from esper_core.composition.config import parse_option
from esper_core.composition.plan import Plan, PlanRequest
from esper_core.contracts.errors import UserError
from esper_core.contracts.protocols import BuildContext
from esper_core.registry.index import Index
from esper_core.registry.sources import blamed
from esper_core.system.crew import Crew
from esper_core.system.machine import cores
from esper_core.system.processes import Answer, Purpose
from esper_factored_ppo.probes.config import PpoProbesConfig
from esper_factored_ppo.probes.plan import BROUGHT, WIDTH, WIDTH_OPTIONS, without_environment
from esper_factored_ppo.probes.playing import measure
from esper_factored_ppo.probes.probe import Probe, in_parts
from esper_factored_ppo.probes.table import PROBES
from esper_testing.spikes.only import matching
from esper_testing.spikes.verdict import Category, CheckResult, Failure, ProbeResult, Verdict

PURPOSE = Purpose(
    name="esper-probes",
    doing="training a probe",
    killed="It may have been killed for lack of memory. Run fewer probes at a time with --only.",
    died="Find out which probe it was with --only.",
    blame=blamed,
)


class Task(NamedTuple):
    """One run of a probe."""

    probe: str
    seed: int


class Run(NamedTuple):
    """The outcome of a task.

    Attributes:
        measured: Quantity → number; empty if the run failed.
        seconds: How long it took.
        failure: The error that ended it, or None.
    """

    measured: dict[str, float]
    seconds: float
    failure: Failure | None


class PpoProbes:
    """Kind `spike`: GREEN when the policy learns every probe."""

    def __init__(self, config: PpoProbesConfig | None, context: BuildContext | None = None) -> None:
        self.config = config or PpoProbesConfig()

    def run(
        self,
        plan: Plan,
        index: Index,
        *,
        request: PlanRequest | None = None,
        slots: Sequence[int] | None = None,
        only: str | None = None,
        quick: bool = False,
        on_result: Callable[[CheckResult], None] | None = None,
    ) -> Verdict:
        """Return the verdict on a plan's network, critic and loss. They are trained on the CPU, one process per core.

        Args:
            plan: What to train. Its seed is added to those of the probes; its environment is not used.
            index: Where its components are looked up.
            request: What the plan was made from. Without it nothing is refused, and the network is 64 wide.
            slots: Must be None: each probe has the slots it needs.
            only: Id or name of a probe.
            quick: Leave out the probes that take long, unless `only` names one.
            on_result: Called after every run of a probe.

        Raises:
            UserError: there is no such probe, or something was chosen that the probes replace.
        """
        started = time.monotonic()
        _refuse(request, slots)
        names = matching(only, [probe.name for probe in PROBES], what="probes")
        probes = [probe for probe in PROBES if probe.name in names and (probe.quick or not quick or only is not None)]
        width = None if request is not None and _says_width(request) else WIDTH
        if self.config.parts:
            probes = [in_parts(probe) for probe in probes]
        runs = _run_all(probes, without_environment(plan, index, width=width), index, on_result)
        results = [_judge(probe, runs[probe.name]) for probe in probes]
        passed = sum(result.passed for result in results)
        return Verdict(
            spike="ppo-probes",
            policy=plan.policy,
            categories=(Category(name="probes", declared=len(probes), passed=passed, failed=len(probes) - passed),),
            failures=tuple(run.failure for probe in probes for run in runs[probe.name] if run.failure is not None),
            probes=tuple(results),
            seconds=time.monotonic() - started,
        )


def _refuse(request: PlanRequest | None, slots: Sequence[int] | None) -> None:
    """Raise UserError for what would have no effect."""
    if slots is not None:
        raise UserError("--slots has no effect on ppo-probes.", hint="Each probe has its own slots; leave it out.")
    if request is None:
        return
    brought = (*BROUGHT, "task", "host")
    chosen = [f"the {kind} '{request.uses[kind]}'" for kind in brought if kind in request.uses]
    set_ = [text for text in request.options if parse_option(text).kind in (*brought, "train")]
    for said in (*chosen, *(f"the option {text}" for text in set_)):
        raise UserError(
            f"{said[0].upper()}{said[1:]} has no effect on ppo-probes.",
            hint="Each probe brings its environment, features, masks and trainer settings; "
            "choose network, critic and loss. With -o spike.parts=true rollouts are parts of episodes.",
        )


def _says_width(request: PlanRequest) -> bool:
    options = [parse_option(text) for text in request.options]
    return any(o.kind == "network" and o.key.replace("-", "_") in WIDTH_OPTIONS for o in options)


def _run_all(
    probes: Sequence[Probe], plan: Plan, index: Index, on_result: Callable[[CheckResult], None] | None
) -> Mapping[str, list[Run]]:
    """Run every probe with every seed and return its runs in the order of its seeds."""
    tasks = [Task(probe.name, plan.seed + seed) for probe in probes for seed in probe.seeds]
    done: dict[Task, Run] = {}
    named = {probe.name: probe for probe in probes}
    with contextlib.closing(_results(partial(_run, plan, index, named), tasks)) as results:
        for task, run in results:
            done[task] = run
            if on_result is not None:
                reached = run.failure is None and named[task.probe].reached(run.measured)
                on_result(CheckResult(task.probe, f"seed {task.seed}", "passed" if reached else "failed"))
    return {probe.name: [done[task] for task in tasks if task.probe == probe.name] for probe in probes}


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
        return Run(measured, time.monotonic() - started, None)
    except UserError:
        raise
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        failure = Failure(
            category="probes",
            check=f"{task.probe}, seed {task.seed}",
            slots=None,
            message=f"{type(error).__name__}: {error}",
            file=frame.filename,
            line=frame.lineno or 0,
        )
        return Run({}, time.monotonic() - started, failure)


def _judge(probe: Probe, runs: Sequence[Run]) -> ProbeResult:
    good = sum(run.failure is None and probe.reached(run.measured) for run in runs)
    return ProbeResult(
        name=probe.name,
        expected=probe.expected,
        measured={quantity: tuple(run.measured.get(quantity) for run in runs) for quantity in probe.goals},
        passed=good >= probe.needed,
        seconds=sum(run.seconds for run in runs),
    )
