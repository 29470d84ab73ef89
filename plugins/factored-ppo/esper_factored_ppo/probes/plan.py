"""Plans in which a probe replaces the environment; network, critic and loss stay."""

from __future__ import annotations

from typing import Any

from attrs import asdict, evolve

from esper_core import ComponentSpec, EnvironmentDescription, SlotConfig
from esper_core.composition.lookup import PlannedComponent, find_planned
from esper_core.composition.plan import Plan, describe_plan
from esper_core.contracts.components import normalise_name
from esper_core.contracts.protocols import BuildContext
from esper_core.registry.index import Component, Index
from esper_factored_ppo.probes.config import ProbeConfig
from esper_factored_ppo.probes.environment import ProbeEnvironment
from esper_factored_ppo.probes.probe import Probe
from esper_factored_ppo.probes.table import PROBES

BROUGHT = ("environment", "features", "masks")
"""Kinds that a probe replaces."""

JUDGED = {"network", "critic", "loss"}
"""Kinds that probes are about: they stay, wherever a plan has them from."""

WIDTH_OPTIONS, WIDTH = ("hidden_dim", "hidden_size", "width"), 64
"""Names of options for the width of a network, and the width used for probes."""

_HERE = "esper_factored_ppo.probes.plan"
_CONFIG = "esper_factored_ppo.probes.config:ProbeConfig"
_OWN = tuple(
    Component(spec, "factored-ppo", "esper-factored-ppo", "")
    for spec in (
        ComponentSpec(
            kind="environment",
            name="ppo-probe",
            factory=f"{_HERE}:make_environment",
            config=_CONFIG,
            describe=f"{_HERE}:describe",
        ),
        ComponentSpec(kind="masks", name="ppo-probe", factory=f"{_HERE}:make_masks", config=_CONFIG),
    )
)


def find_probe(name: str) -> Probe:
    """Return the probe of this name; raises KeyError."""
    return {probe.name: probe for probe in PROBES}[name]


def describe(config: ProbeConfig, slots: SlotConfig) -> EnvironmentDescription:
    """Describe a probe's environment."""
    probe = find_probe(config.probe)
    return EnvironmentDescription(probe.environment.actions, probe.environment.state_spec, probe.horizon, restarts=True)


def make_environment(config: ProbeConfig, context: BuildContext) -> ProbeEnvironment:
    """Build a probe's environment."""
    probe = find_probe(config.probe)
    return probe.environment(context.num_envs, probe.horizon)


def make_masks(config: ProbeConfig, context: BuildContext) -> Any:
    """Return the mask provider of a probe's environment."""
    return find_probe(config.probe).environment.masks


def with_probes(index: Index) -> Index:
    """Return the index with the environment and masks of the probes, which are not registered."""
    return evolve(index, components=(*index.components, *_OWN))


def without_environment(plan: Plan, index: Index, *, width: int | None) -> Plan:
    """Return a plan without its environment and the components that came with it, on the CPU.

    `width` replaces that of the network if it has an option for it; None leaves it as planned.
    """
    environment = find_planned(index, plan.component("environment"))
    gone = {*BROUGHT, *map(normalise_name, environment.spec.defaults), *describe_plan(plan, index).uses} - JUDGED
    kept = [component for component in plan.components if component.kind not in gone]
    if width is not None:
        kept = [_resized(component, width) if component.kind == "network" else component for component in kept]
    return evolve(plan, components=tuple(kept), device="cpu", threads=1)


def probe_plan(plan: Plan, index: Index, probe: Probe, seed: int) -> Plan:
    """Return a plan from `without_environment` as one that trains on a probe; the index is that of `with_probes`."""
    (flat,) = [c for c in index.components if c.key == "features/flat" and c.plugin == "core"]
    brought = [_planned(flat, {"scale": False}), *(_planned(own, {"probe": probe.name}) for own in _OWN)]
    return evolve(
        plan,
        seed=seed,
        envs=probe.envs,
        updates=probe.critic_updates + probe.updates,
        components=(*plan.components, *brought),
        train=asdict(probe.train),
    )


def _planned(component: Component, config: dict[str, Any]) -> PlannedComponent:
    return PlannedComponent(
        kind=component.kind,
        name=component.name,
        distribution=component.distribution,
        version=component.version,
        config=config,
    )


def _resized(network: PlannedComponent, width: int) -> PlannedComponent:
    found = [option for option in WIDTH_OPTIONS if option in network.config][:1]
    return evolve(network, config={**network.config, **dict.fromkeys(found, width)})
