"""The spike: trains a plan's network, critic and loss on every probe and compares with the known answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from esper_core.composition.config import parse_option
from esper_core.composition.plan import Plan, PlanRequest
from esper_core.contracts.errors import UserError
from esper_core.contracts.protocols import BuildContext
from esper_core.registry.index import Index
from esper_factored_ppo.probes.config import PpoProbesConfig
from esper_factored_ppo.probes.plan import BROUGHT, WIDTH, WIDTH_OPTIONS, without_environment
from esper_factored_ppo.probes.probe import in_parts
from esper_factored_ppo.probes.table import PROBES
from esper_factored_ppo.probes.work import ProbeWork
from esper_testing.spikes.only import matching
from esper_testing.spikes.verdict import CheckResult, Verdict


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
        work = self.divide(plan, index, request=request, slots=slots, only=only, quick=quick)
        return work.judge(dict(work.do(work.parts, on_result)))

    def divide(
        self,
        plan: Plan,
        index: Index,
        *,
        request: PlanRequest | None = None,
        slots: Sequence[int] | None = None,
        only: str | None = None,
        quick: bool = False,
    ) -> ProbeWork:
        """Return what is to be done; arguments and errors are those of `run`."""
        _refuse(request, slots)
        names = matching(only, [probe.name for probe in PROBES], what="probes")
        probes = [probe for probe in PROBES if probe.name in names and (probe.quick or not quick or only is not None)]
        width = None if request is not None and _says_width(request) else WIDTH
        if self.config.parts:
            probes = [in_parts(probe) for probe in probes]
        return ProbeWork(without_environment(plan, index, width=width), index, probes)


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
