"""The subject of checks: one component, and whatever it has to be built into to say something about it."""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, TypeVar

import torch
from attrs import define, field

from esper_core.composition.build import ORDER, build_beside, build_parts, make_context
from esper_core.composition.config import structure_config
from esper_core.composition.fit import OPPONENTS, READS_ARRAYS
from esper_core.composition.plan import Plan, PlanRequest, describe_environment, describe_plan, make_plan
from esper_core.contracts.components import ComponentSpec
from esper_core.contracts.errors import ConfigError, EsperError, PluginError
from esper_core.contracts.protocols import BuildContext
from esper_core.contracts.share import Share
from esper_core.contracts.slots import SlotConfig
from esper_core.contracts.state import EnvironmentDescription
from esper_core.registry.index import Component, Index
from esper_core.registry.references import load_reference
from esper_core.system.packages import LOCAL_DISTRIBUTION
from esper_testing.case import Case, make_case
from esper_testing.reference.plugin import DISTRIBUTION, REFERENCES, with_references

Made = TypeVar("Made")

SLOTS = (1, 2, 3, 5, 8)
"""Slot counts with which everything is tried."""

ENVS = 4
"""Environments side by side in a plan."""

BRIEF = {"epochs": 8, "workers": 1}
"""Options that keep an episode short and in this process, where an environment has them."""

DISTRIBUTED = "component:distributed"
"""Claimed by every component but those of a script, which no plugin registers."""


@define
class Subject:
    """A component under check.

    It is planned with the reference components around it, or, where it needs more than these give, with what is
    installed.

    Attributes:
        index: What is installed.
        full_index: What is installed, and the reference components.
    """

    component: Component
    index: Index
    full_index: Index = field(init=False)
    _made: dict[Hashable, Any] = field(factory=dict, init=False)
    _environment: Component | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.full_index = with_references(self.index)

    @property
    def spec(self) -> ComponentSpec:
        """What the plugin registered."""
        return self.component.spec

    @property
    def key(self) -> str:
        """`kind/name`."""
        return self.component.key

    @property
    def known_failures(self) -> Mapping[str, str]:
        """Checks that it is known to fail, and why."""
        return self.spec.known_failures

    @property
    def kind(self) -> str:
        """Kind of the component."""
        return self.spec.kind

    def claims(self, capability: str) -> bool:
        """Return whether the component says that it provides a capability, or is a plugin's, for `DISTRIBUTED`."""
        if capability == DISTRIBUTED:
            return self.component.distribution != LOCAL_DISTRIBUTION
        return capability in self.spec.provides

    def plan(self, slots: int = 3, *, options: tuple[str, ...] = (), **request: Any) -> Plan:
        """Return a plan in which the component is used.

        Args:
            slots: Slot count, N.
            options: Settings, each `KIND.key=VALUE`, such as `environment.layout=flat` of the reference environment.
            request: More of `PlanRequest`, such as `updates`.

        Raises:
            EsperError: nothing that is installed can be combined with it.
        """
        uses = {kind: name for kind, name in REFERENCES.items() if kind != "masks"}
        environment = self.environment()
        uses["environment"] = environment.qualified
        if self.kind in ORDER:
            uses[self.kind] = self.component.qualified
        if "masks" not in environment.spec.defaults and self.kind != "masks":
            uses["masks"] = REFERENCES["masks"]
        uses |= self._required(uses)
        wanted = {"envs": ENVS, "device": "cpu", "seed": 0, **request}
        example = (f"{self.kind}.{key}={value}" for key, value in self.example().items())
        options = (*_brief(environment), *(example if self.kind in ORDER else ()), *options)
        if environment.distribution == DISTRIBUTION and self.claims(READS_ARRAYS):
            options = ("environment.pictures=true", *options)
        return make_plan(
            PlanRequest(policy=uses["network"], slots=str(slots), uses=uses, options=options, **wanted), self.full_index
        )

    def environment(self) -> Component:
        """Return the environment that the component is planned with.

        Raises:
            PluginError: no installed environment publishes what the component reads.
        """
        if self._environment is None:
            self._environment = self._find_environment()
        return self._environment

    def example(self) -> dict[str, Any]:
        """Return the options that it is built with here: none, unless its spec names an example."""
        if not self.spec.example:
            return {}
        write = load_reference(self.spec.example, str(self.component), self.component.distribution)

        def written() -> dict[str, Any]:
            folder = mkdtemp(prefix="esper-")
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
            return dict(write(Path(folder)))

        return self.once("example", written)

    def config(self) -> Any:
        """Return the options that it is built with here, as its factory takes them."""
        return structure_config(self.component, self.example())

    def case(self, slots: int = 3, *, options: tuple[str, ...] = ()) -> Case:
        """Return the policy of the component's plan with data to feed it; built once per slot count and options."""
        return self.once(
            ("case", slots, options), lambda: make_case(self.plan(slots, options=options), self.full_index, slots)
        )

    def once(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """Return what `make` returns, made when it is first asked for and kept for further checks."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def build(
        self, slots: int = 3, *, options: tuple[str, ...] = (), dtype: torch.dtype = torch.float32, **request: Any
    ) -> Any:
        """Return the component, newly built: within a plan, or beside one where plans do not hold its kind alone."""
        if self.kind in ORDER:
            # Opponents play in an environment that they are shown.
            kinds = (self.kind, "environment") if self.kind == OPPONENTS else (self.kind,)
            return self.parts(slots, *kinds, options=options, dtype=dtype, **request)[self.kind]
        context = self.context(slots, options=options, dtype=dtype)
        return build_beside(self.component, self.full_index, context, self.config())

    def parts(
        self,
        slots: int,
        *kinds: str,
        options: tuple[str, ...] = (),
        dtype: torch.dtype = torch.float32,
        share: Share | None = None,
        **request: Any,
    ) -> dict[str, Any]:
        """Return parts of a plan in which the component is used, newly built: kind → object."""
        plan = self.plan(slots, options=options, **request)
        # An environment, and what belongs to it, draws on components of further kinds.
        drawn = {*plan.kinds, *describe_plan(plan, self.full_index).uses} - set(ORDER)
        return build_parts(plan, self.full_index, only={*kinds, *drawn}, dtype=dtype, share=share)

    def context(
        self,
        slots: int = 3,
        *,
        options: tuple[str, ...] = (),
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
    ) -> BuildContext:
        """Return what a factory is told about its surroundings."""
        plan = self.plan(slots, options=options)
        return make_context(plan, describe_plan(plan, self.full_index), device=device, dtype=dtype)

    def _find_environment(self) -> Component:
        if self.kind == "environment":
            return self.component
        tried = []
        usual = REFERENCES["environment"]
        for environment in sorted(
            self.full_index.of_kind("environment"), key=lambda c: (c.qualified != usual, c.distribution != DISTRIBUTION)
        ):
            known = self._described(environment)
            published = () if known is None else known.state.names
            missing = [name for name in self.spec.reads if name not in published]
            if self.kind == OPPONENTS and not (known and known.sides):
                tried.append(f"{environment} has no two sides")
            elif missing:
                tried.append(f"{environment} does not publish {', '.join(missing)}")
            else:
                return environment
        raise PluginError(
            f"{self.component} needs what no installed environment has: {'; '.join(tried)}.",
            hint="Install the distribution that brings its environment.",
        )

    def _described(self, environment: Component) -> EnvironmentDescription | None:
        """Return what an environment is with its defaults, or None where these cannot be described."""
        with suppress(EsperError):
            return describe_environment(environment, structure_config(environment, {}), SlotConfig.for_grid(1, 3))
        return None

    def _required(self, uses: dict[str, str]) -> dict[str, str]:
        """Return partners for requirements that the reference components do not meet: kind → name."""
        partners = {}
        for capability in self.spec.requires:
            kind = capability.partition(":")[0]
            providers = [c for c in self.full_index.of_kind(kind) if capability in c.spec.provides]
            if kind in uses and providers and not any(c.qualified == uses[kind] for c in providers):
                partners[kind] = providers[0].qualified
        return partners


def _brief(environment: Component) -> tuple[str, ...]:
    """Return the options of `BRIEF` that an environment has and allows."""
    options = []
    for key, value in BRIEF.items():
        with suppress(ConfigError):
            structure_config(environment, {key: value})
            options.append(f"environment.{key}={value}")
    return tuple(options)
