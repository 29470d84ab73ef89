"""`esper_core.check` and `esper_core.spike`: what the commands of these names do, from Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from esper_core.api.installed import load_installed, use_local
from esper_core.api.planning import Options, as_request
from esper_core.composition.config import parse_option, structure_config
from esper_core.composition.lookup import find_planned
from esper_core.composition.plan import Plan, PlanRequest, make_plan
from esper_core.composition.recipes import Recipes
from esper_core.contracts.errors import PluginError, UserError
from esper_core.registry.index import Component, Index
from esper_core.registry.references import load_reference
from esper_core.registry.resolve import find_plugin, resolve
from esper_core.runs.shards import Shards, Share, ShareDone
from esper_testing.conformance.finding import find_checked
from esper_testing.spikes.protocol import Divisible, Work
from esper_testing.spikes.verdict import CheckResult, Verdict
from esper_testing.surroundings import surroundings

if TYPE_CHECKING:
    from esper_testing.conformance.report import Conformance, Result


def check(what: Any, *, kind: str | None = None, on_result: Callable[[Result], None] | None = None) -> Conformance:
    """Run every conformance check on components, as `esper plugins check` does.

    Args:
        what: A plugin, a distribution, `KIND/NAME` or `command/NAME`; or a class, function, object or
            `esper_core.component(...)` of one's own, with its kind.
        kind: Kind of what is no name.
        on_result: Called after every check.

    Returns:
        A row per check, and the verdict: `colour` is GREEN, YELLOW or RED.

    Raises:
        UserError: the name means nothing, or no kind is said for what is no name.
        PluginError: the plugin failed to load, or has nothing to check.
    """
    if not isinstance(what, str):
        if kind is None:
            raise UserError(f"Nothing says which kind {what!r:.80} is of.", hint='Say it, as in kind="network".')
        what = f"{kind}/{use_local({kind: what})[kind]}"
    index, recipes = load_installed()
    return check_named(what, index, recipes, on_result)


def check_named(
    name: str, index: Index, recipes: Recipes, on_result: Callable[[Result], None] | None = None
) -> Conformance:
    """Run every conformance check on what a name means; raises as `check`."""
    checked = find_checked(index, name, recipes.pins)
    kinds = [] if "/" in name else [index.kinds[kind] for kind in find_plugin(index, name).kinds]
    if not checked and not kinds:
        raise PluginError(f"The plugin '{name}' has nothing to check.", hint=f"See: esper plugins show {name}")
    import torch

    from esper_core.api.training import process_left_as_found
    from esper_testing.conformance.run import check_components

    with process_left_as_found():
        torch.set_num_threads(1)
        return check_components(name, checked, index, kinds=kinds, on_result=on_result)


def spike(
    name: str,
    policy: str | None = None,
    slots: int | Sequence[int] | None = None,
    *,
    use: Mapping[str, Any] | None = None,
    options: Options = (),
    seed: int | None = None,
    only: str | None = None,
    quick: bool = False,
    on_result: Callable[[CheckResult], None] | None = None,
    registry: str | Path | None = None,
) -> Verdict:
    """Ask a spike about a policy, as `esper spike run` does; `policy`, `use`, `options` and `seed` are as for `plan`.

    Args:
        name: The spike.
        policy: A recipe of the registry file, or a network.
        slots: A slot count, or several; those of the spike without.
        use: Components by kind.
        options: Options of components, and of the spike itself, as in `spike.parts=true`.
        seed: Seed of the run.
        only: Name of the one part to run.
        quick: Ask less, to be done sooner.
        on_result: Called after every check.
        registry: The registry file.

    Returns:
        The verdict: `colour` is GREEN, YELLOW or RED.

    Raises:
        UserError: a name that means nothing, or an argument that means nothing to this spike.
        PluginError: the spike breaks its contract.
    """
    counts = (slots,) if isinstance(slots, int) else None if slots is None else tuple(slots)
    uses = use_local(use)
    index, recipes = load_installed(registry)
    component = resolve(index, "spike", name, recipes.pins)
    request = as_request(policy=policy, slots=counts[0] if counts else None, uses=uses, options=options, seed=seed)
    return ask(component, request, index, recipes, slots=counts, only=only, quick=quick, on_result=on_result)


def ask(
    component: Component,
    request: PlanRequest,
    index: Index,
    recipes: Recipes,
    *,
    slots: Sequence[int] | None,
    only: str | None,
    quick: bool,
    on_result: Callable[[CheckResult], None] | None = None,
) -> Verdict:
    """Ask a spike about what is requested, options `spike.*` being its own; raises as `spike`."""
    config, request = _own_options(component, request)
    plan = make_plan(request, index, recipes)
    from esper_core.api.training import process_left_as_found
    from esper_core.composition.build import build_beside

    answer: Any = build_beside(component, index, config=config)
    with process_left_as_found(), component.owner.doing("answering"):
        verdict = answer.run(plan, index, request=request, slots=slots, only=only, quick=quick, on_result=on_result)
    return _checked(component, verdict)


@frozen
class Shared:
    """A question that is shared out among machines. Torch is imported when a share is done.

    Attributes:
        component: The spike.
        plan: What it is asked about.
        work: What is to be done.
        shards: Where shares lie.
    """

    component: Component
    plan: Plan
    work: Work
    shards: Shards

    def do(self, share: Share, index: Index, on_result: Callable[[CheckResult], None] | None = None) -> ShareDone:
        """Do a share, and go on with it where it was left; raises as `spike`, and UserError as `Shards.do`."""
        from esper_core.api.training import process_left_as_found

        under = surroundings([self.component, *(find_planned(index, planned) for planned in self.plan.components)])
        with process_left_as_found(), self.component.owner.doing("answering"):
            return self.shards.do(share, under, self.work.parts, lambda parts: self.work.do(parts, on_result))

    def merge(self) -> Verdict:
        """Return the verdict on what all shares have brought; raises UserError where one is missing."""
        results = self.shards.results(self.work.parts)
        with self.component.owner.doing("judging"):
            verdict = self.work.judge(results)
        return _checked(self.component, verdict)


def share_out(
    component: Component,
    request: PlanRequest,
    index: Index,
    recipes: Recipes,
    folder: Path,
    *,
    slots: Sequence[int] | None,
    only: str | None,
    quick: bool,
) -> Shared:
    """Return a question, otherwise that of `ask`, whose shares lie in a folder.

    Raises:
        UserError: as for `spike`; or the work of the spike cannot be shared out.
    """
    config, request = _own_options(component, request)
    plan = make_plan(request, index, recipes)
    spike: Any = load_reference(component.spec.factory, str(component), component.distribution)(config, None)
    if not isinstance(spike, Divisible):
        raise UserError(
            f"The work of {component} cannot be shared out.",
            hint="Run it without --shard. Its author can make it an esper_testing.spikes.protocol.Divisible.",
        )
    with component.owner.doing("dividing its work"):
        work = spike.divide(plan, index, request=request, slots=slots, only=only, quick=quick)
    asked = {"spike": component.key, "plan": plan.to_json(), "parts": list(work.parts)}
    return Shared(component, plan, work, Shards(folder, folder, "this spike", asked))


def _own_options(component: Component, request: PlanRequest) -> tuple[Any, PlanRequest]:
    """Return the config of a spike, and the request without options that are its own."""
    said = [(option, parse_option(option)) for option in request.options]
    own = {option.key.replace("-", "_"): option.value for _, option in said if option.kind == "spike"}
    rest = evolve(request, options=tuple(text for text, option in said if option.kind != "spike"))
    return structure_config(component, own), rest


def _checked(component: Component, verdict: Any) -> Verdict:
    if not isinstance(verdict, Verdict):
        raise PluginError(
            f"{component} breaks its contract: it returned a {type(verdict).__name__}, not a Verdict.",
            hint="Report this to the plugin's author.",
        )
    return verdict
