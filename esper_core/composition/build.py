"""From a plan to objects. This is where torch and the plugins' own code are imported."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from attrs import asdict, define, evolve, field
from torch import nn

from esper_core.composition.allocation import OnlyWhatFits, TooLarge
from esper_core.composition.config import structure_config
from esper_core.composition.fit import OPPONENTS, TEACHER
from esper_core.composition.lookup import PlannedComponent, find_planned
from esper_core.composition.plan import Plan, PlanDescription, describe_plan
from esper_core.contracts.errors import ConfigError, PluginError, did_you_mean
from esper_core.contracts.foreign import exhausted
from esper_core.contracts.precision import autocast
from esper_core.contracts.protocols import BuildContext, Origin
from esper_core.contracts.share import Share
from esper_core.registry.index import Component, Index
from esper_core.registry.references import load_reference
from esper_core.registry.resolve import split_name
from esper_core.system.memory import shown

LEARNED = ("network", "critic")
"""Kinds whose initial weights come from the plan's seed."""

ONLY_TRAINING = ("loss", TEACHER, OPPONENTS)
"""Kinds that nobody needs who does not train."""

ORDER = ("features", *LEARNED, "masks", "loss", "environment", OPPONENTS)
"""The order in which core's kinds are built; all other kinds come first."""


def build_parts(
    plan: Plan,
    index: Index,
    *,
    only: Collection[str] | None = None,
    dtype: torch.dtype = torch.float32,
    share: Share | None = None,
    everyone: Callable[[Any], Any] | None = None,
) -> dict[str, Any]:
    """Build the components of a plan and return them: kind → object.

    A kind that the environment draws on by name becomes a dict: its name there → object. Network and critic are
    initialised from the plan's seed, whatever else draws random numbers, and moved to device and dtype.

    Args:
        plan: What to build.
        index: Where factories are looked up; a name in the plan is compared with it, never imported.
        only: Kinds to build and return; None builds all. A critic needs its network built, which is then not returned.
        dtype: Of observations and weights.
        share: The rows that are built here, where other processes have the rest.
        everyone: From the environment of these rows to what stands for that of all.

    Raises:
        PluginError: a component that cannot be imported or built, or that breaks its contract.
        UnknownComponent: a component of the plan that is not installed.
        ConfigError: a device or precision that cannot be used, or kinds in `only` that the plan does not have.
    """
    builder = _Builder(plan, index, dtype, share, everyone)
    wanted = set(builder.kinds if only is None else only)
    if absent := sorted(wanted - set(builder.kinds)):
        message = f"The plan has no {', '.join(absent)}, so none can be built."
        raise ConfigError(message, hint=f"It has {', '.join(builder.kinds)}.")
    parts = builder.build_all(wanted | ({"network"} if "critic" in wanted else set())).parts
    return {kind: part for kind, part in parts.items() if kind in wanted}


def build_environment(plan: Plan, index: Index) -> BuildContext:
    """Build the environment of a plan, its masks and features, and whatever they draw on, but nothing that learns.

    Returns what a rule that plays there is told; `parts` holds what was built. Close `parts["environment"]` after use.
    Raises what `build_parts` raises.
    """
    builder = _Builder(plan, index, torch.float32)
    return builder.build_all({*builder.kinds} - {*LEARNED, *ONLY_TRAINING})


def build_beside(component: Component, index: Index, context: BuildContext | None = None, config: Any = None) -> Any:
    """Build a component that no plan holds, such as a rule; without a config with its defaults; raises PluginError."""
    return _made(component, index, structure_config(component, {}) if config is None else config, context)


def make_context(
    plan: Plan, known: PlanDescription, *, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> BuildContext:
    """Return what a factory is told about its surroundings before anything is built."""
    return BuildContext(
        slots=known.slots,
        actions=known.actions,
        state_spec=known.state_spec,
        feature_schema=known.feature_schema,
        latent_dim=0,
        gamma=plan.train["gamma"],
        privileged=len(known.privileged),
        num_envs=plan.envs * known.rows,
        seed=plan.seed,
        device=device,
        dtype=dtype,
        precision=plan.precision,
    )


def resolve_device(name: str) -> str:
    """Return the torch device a plan's device means: 'auto' is CUDA where there is one; raises ConfigError."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        # Reading a number back finds out devices that hold none, such as 'meta'.
        torch.zeros((), device=name).item()
    except (RuntimeError, AssertionError, NotImplementedError, ImportError) as error:
        reason = str(error).splitlines()[0].split(". ")[0].rstrip(".")
        usable = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
        raise ConfigError(
            f"The device '{name}' cannot be used: {reason}.{did_you_mean(name, {'cpu', 'cuda', 'auto'} - {name})}",
            hint=f"Use --device {' or '.join(usable)}; auto chooses.",
        ) from error
    return name


@contextmanager
def _seeded(seed: int, device: str) -> Iterator[None]:
    """Seed torch within, and leave its random state as it was."""
    devices = list(range(torch.cuda.device_count())) if device.startswith("cuda") else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed) if devices else torch.default_generator.manual_seed(seed)
        yield


@define
class _Builder:
    """Builds one kind after another; `context` knows what was built so far."""

    plan: Plan
    index: Index
    dtype: torch.dtype
    share: Share | None = None
    everyone: Callable[[Any], Any] | None = None
    description: PlanDescription = field(init=False)
    context: BuildContext = field(init=False)

    def __attrs_post_init__(self) -> None:
        device, precision = resolve_device(self.plan.device), self.plan.precision
        try:
            with autocast(precision, device):
                pass
        except RuntimeError as error:
            message = f"The device '{device}' cannot compute in {precision}: {error}"
            raise ConfigError(message, hint="Use --precision float32.") from error
        self.description = describe_plan(self.plan, self.index)
        context = make_context(self.plan, self.description, device=device, dtype=self.dtype)
        self.context = evolve(context, feature_schema=None)
        if self.share is not None:
            self.context = evolve(self.context, num_envs=self.share.count, share=self.share)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds that can be built."""
        return tuple(dict.fromkeys([*self.plan.kinds, *self.description.uses]))

    def build_all(self, needed: Collection[str]) -> BuildContext:
        """Build kinds in an order in which each finds what it needs; return the context of what was built last."""
        others = [kind for kind in self.kinds if kind not in ORDER]
        for kinds in ([*others, "features"], LEARNED, ["masks", "loss", "environment", OPPONENTS]):
            with _seeded(self.plan.seed, self.context.device) if kinds is LEARNED else nullcontext():
                for kind in kinds:
                    if kind in needed:
                        self.build(kind)
        return self.context

    def build(self, kind: str) -> None:
        """Build a kind and extend the context by it."""
        if kind in ORDER and kind != "features":
            self.context = evolve(self.context, feature_schema=self.description.feature_schema)
        names = self.description.uses.get(kind)
        part: Any = self._build_one(self.plan.component(kind)) if names is None else self._build_named(kind, names)
        if kind == "environment" and self.everyone is not None:
            part = self.everyone(part)
        origins = tuple(Origin(find_planned(self.index, p).spec.module, p.config) for p in self.plan.of_kind(kind))
        self.context = evolve(
            self.context,
            latent_dim=part.latent_dim if kind == "network" else self.context.latent_dim,
            parts={**self.context.parts, kind: part},
            origins={**self.context.origins, kind: origins},
        )

    def _build_named(self, kind: str, names: Collection[str]) -> dict[str, Any]:
        """Return name → object; two names of one component share its object."""
        planned = {name: self._planned_as(kind, name) for name in names}
        unique = {(one.name, one.distribution): one for one in planned.values()}
        built = {key: self._build_one(one) for key, one in unique.items()}
        return {name: built[one.name, one.distribution] for name, one in planned.items()}

    def _planned_as(self, kind: str, name: str) -> PlannedComponent:
        distribution, bare = split_name(name)
        for planned in self.plan.of_kind(kind):
            if find_planned(self.index, planned).is_called(bare, distribution):
                return planned
        raise PluginError(f"The plan has no {kind} '{name}', but its environment uses one.", hint="Make a new plan.")

    def _build_one(self, planned: PlannedComponent) -> Any:
        component = find_planned(self.index, planned)
        breach, kind, known = component.owner.breach, component.kind, self.description
        part = _made(component, self.index, structure_config(component, planned.config), self.context)
        with component.owner.doing("being built"):
            if isinstance(part, nn.Module):
                part.to(device=self.context.device, dtype=self.context.dtype)
            own = {"actions": known.actions, "state_spec": known.state, "horizon": known.horizon}
            environment = {**own, "num_envs": self.context.num_envs}
            promises: dict[str, dict[str, Any]] = {
                "features": {"schema": known.feature_schema},
                "environment": environment,
            }
            for attribute, promised in promises.get(kind, {}).items():
                if getattr(part, attribute) != promised:
                    raise breach(f"its {attribute} differs from what the plan describes")
            if kind in LEARNED and not isinstance(part, nn.Module):
                raise breach(f"it is a {type(part).__name__}, which is not a torch.nn.Module")
            latent_dim: Any = getattr(part, "latent_dim", None)
            if kind == "network" and (type(latent_dim) is not int or latent_dim < 1):
                raise breach(f"its latent_dim is {latent_dim!r}, no positive whole number")
        return part


def _made(component: Component, index: Index, config: Any, context: BuildContext | None) -> Any:
    """Return what a factory makes, which fulfils the protocol of its kind."""
    factory = load_reference(component.spec.factory, str(component), component.distribution)
    kind = index.kinds[component.kind]
    protocol = load_reference(kind.protocol, f"the kind '{kind.name}'", index.declarer(kind.name))
    with component.owner.doing("being built"):
        try:
            # An environment may start processes, which would inherit the watch; its own tensors are few.
            with nullcontext() if component.kind == "environment" else OnlyWhatFits():
                part = factory(config, context)
        except (MemoryError, OverflowError, RuntimeError) as error:
            if (refusal := exhausted(error)) is None:
                raise
            asked = f". {refusal.message}"
            if isinstance(error, TooLarge):
                asked = f": it asks for a tensor of {shown(error.needed)}, where {shown(error.left)} are left."
            sizes = [(value, key) for key, value in asdict(config).items() if type(value) is int and value > 1]
            largest = ", ".join(f"{key} = {value}" for value, key in sorted(sizes, reverse=True)[:4])
            hint = f"Lower one of its options: {largest or 'it has no whole number among them'}."
            raise ConfigError(f"{component} does not fit{asked}", hint=hint) from error
        if missing := [member for member in _members(protocol) if not hasattr(part, member)]:
            what = f"returned a {type(part).__name__}, which does not fulfil {protocol.__name__}"
            raise component.owner.breach(f"'{component.spec.factory}' {what}: it lacks {', '.join(missing)}")
    return part


def _members(protocol: type) -> list[str]:
    """Return what a protocol asks for: its attributes and methods, `__call__` included."""
    bases = (base for base in reversed(protocol.__mro__) if base.__module__ not in ("typing", "builtins"))
    names = (name for base in bases for name in (*getattr(base, "__annotations__", {}), *vars(base)))
    return list(dict.fromkeys(name for name in names if name == "__call__" or not name.startswith("_")))
