"""From a workload to one document: figures, targets, and the floor under every figure that misses its target."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import asdict

from esper_bench.machine import measure_ceilings
from esper_bench.workload import Target, Workload
from esper_core.contracts.errors import PluginError
from esper_core.contracts.foreign import Owner
from esper_core.contracts.plain import NotPlain, plain
from esper_core.system.machine import libraries, machine

if TYPE_CHECKING:
    from esper_core.composition.plan import Plan
    from esper_core.contracts.protocols import Say
    from esper_core.registry.index import Index


def run_workload(
    owner: Owner, workload: Workload, plan: Plan, index: Index, *, quick: bool, say: Say
) -> dict[str, Any]:
    """Measure a workload; return its figures with `targets`, `machine`, `versions` and, where one is missed, `floor`.

    Raises:
        PluginError: the workload raised something, or a figure that has a target was not measured.
    """
    with owner.doing("measuring"):
        measured = workload.measure(plan, index, quick=quick, say=say)
    figures = _plain(owner, "measure", measured)
    say("measuring what the machine can do at best")
    ceilings = measure_ceilings()

    def evidence(figure: str) -> Mapping[str, Any]:
        say(f"looking for the floor under {figure}")
        with owner.doing(f"looking for the floor under {figure}"):
            found = workload.evidence(plan, index, figure, figures, ceilings)
        return _plain(owner, "evidence", found)

    document = {**figures, "targets": judge(figures, workload.targets)}
    floor = find_floor(figures, workload.targets, evidence)
    if floor:
        document["floor"] = {figure: {**row, "ceilings": asdict(ceilings)} for figure, row in floor.items()}
    return {**document, "machine": {**machine(), "ceilings": asdict(ceilings)}, "versions": libraries()}


def _plain(owner: Owner, call: str, found: Any) -> dict[str, Any]:
    if not isinstance(found, Mapping):
        raise owner.breach(f"{call} returned a {type(found).__name__}, not a table of figures")
    try:
        figures: dict[str, Any] = plain(found)
    except NotPlain as problem:
        raise owner.breach(f"what {call} returned cannot be saved: {problem}") from problem
    return figures


def judge(figures: Mapping[str, Any], targets: Sequence[Target]) -> dict[str, dict[str, Any]]:
    """Return per figure its target, what was measured, and whether that reaches it; raises PluginError."""
    judged = {}
    for target in targets:
        try:
            measured = target.measured_in(figures)
        except (KeyError, TypeError) as error:
            raise PluginError(
                f"The workload has a target for '{target.figure}' and did not measure it.",
                hint="Report this to the workload's author.",
            ) from error
        judged[target.figure] = {
            "target": str(target),
            "measured": measured,
            "reached": target.is_reached(measured),
            "meaning": target.meaning,
        }
    return judged


def find_floor(
    figures: Mapping[str, Any], targets: Sequence[Target], evidence: Callable[[str], Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Return, for each figure that misses its target, target, measurement and evidence; nothing for the others."""
    return {
        target.figure: {
            "target": target.bound,
            "measured": measured,
            "evidence": dict(evidence(target.figure)),
        }
        for target in targets
        if not target.is_reached(measured := target.measured_in(figures))
    }
