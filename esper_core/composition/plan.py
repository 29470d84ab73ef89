"""A plan: everything a run is made of, as data. Making one imports no torch and builds nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from attrs import asdict, evolve, field, frozen

from esper_core.composition.config import Option, planned_config, structure_config, unstructure_config
from esper_core.composition.fit import (
    ANY_SLOTS,
    check_arrays,
    check_capabilities,
    check_drawn,
    check_operations,
    check_reads,
    check_repeats,
    check_restarts,
    check_sides,
)
from esper_core.composition.lookup import PlannedComponent, find_planned
from esper_core.composition.recipes import Recipes
from esper_core.composition.selection import select
from esper_core.contracts.errors import (
    CheckpointMismatch,
    ConfigError,
    DamagedFile,
    EsperError,
    PluginError,
    Refused,
    UserError,
    did_you_mean,
)
from esper_core.contracts.features import FeatureSchema
from esper_core.contracts.foreign import Owners, guarded
from esper_core.contracts.plain import NotPlain, from_exact, to_exact
from esper_core.contracts.precision import PRECISIONS
from esper_core.contracts.slots import SlotConfig
from esper_core.contracts.state import EnvironmentDescription, StateSpec
from esper_core.registry.index import Component, Index
from esper_core.registry.references import load_reference
from esper_core.system.shape import shaped

Described = TypeVar("Described")

PLAN_SCHEMA = 1

DEFAULTS: Mapping[str, Any] = {
    "slots": "3",
    "envs": 8,
    "updates": 40,
    "seed": 0,
    "threads": 1,
    "device": "auto",
    "precision": "float32",
}
"""What holds when nothing is said."""

_LIMITS = {"envs": (1, 2**16), "updates": (1, 2**31 - 1), "seed": (0, 2**63 - 1), "threads": (1, 1024)}
_DEVICE = re.compile(r"[a-z]+(:\d+)?")


@frozen(kw_only=True)
class Init:
    """The checkpoint of another run whose weights a run begins with: where that lay, its update, and its digest."""

    run: str
    update: int
    digest: str


@frozen(kw_only=True)
class PlanRequest:
    """What was asked for; None means that nothing was said.

    Attributes:
        policy: Name of a recipe or of a network.
        slots: A count (`5`), ids (`r0c0,r0c2`), or several counts (`1,2,3`) of which each update draws one.
        uses: Components chosen by kind: kind → name; `environment` is a shorthand for one.
        wanted: Further kinds of which the plan gets a component, whichever is chosen for them.
        options: Settings, each `KIND.key=VALUE` or an Option; `epochs` and `workers` are shorthands for those of the
            environment.
        envs: Environments side by side, or matches where each has several rows.
        device: torch device, or 'auto'.
        threads: Threads within one operation of the policy.
        precision: What networks compute in.
    """

    policy: str | None = None
    slots: str | None = None
    uses: Mapping[str, str] = field(factory=dict)
    wanted: Sequence[str] = ()
    options: Sequence[str | Option] = ()
    environment: str | None = None
    envs: int | None = None
    epochs: int | None = None
    workers: int | None = None
    updates: int | None = None
    seed: int | None = None
    device: str | None = None
    threads: int | None = None
    precision: str | None = None


@frozen(kw_only=True)
class Plan:
    """Everything a run is made of; two equal plans train the same policy.

    Attributes:
        schema: Version of this layout.
        slots: Slot ids in order.
        threads: Threads within one operation of the policy; another number splits sums, and so rounds, otherwise.
        precision: What networks compute in, one of `esper_core.contracts.precision.PRECISIONS`.
        components: Chosen components, several only of kinds that the environment draws on by name.
        drawn: Slot counts, ascending, of which each update draws one; `slots` are those of the largest then. Empty
            where all updates are played with `slots`.
        init: Whose weights it begins with; None for fresh ones.
    """

    schema: int = PLAN_SCHEMA
    policy: str
    slots: tuple[str, ...]
    seed: int
    envs: int
    updates: int
    device: str
    threads: int = DEFAULTS["threads"]
    precision: str = DEFAULTS["precision"]
    components: tuple[PlannedComponent, ...]
    train: dict[str, Any]
    drawn: tuple[int, ...] = ()
    init: Init | None = None

    @property
    def slot_config(self) -> SlotConfig:
        """The slots as a SlotConfig."""
        return SlotConfig(self.slots)

    @property
    def slots_said(self) -> str:
        """How many slots there are, in words."""
        return f"{', '.join(map(str, self.drawn)) or len(self.slots)} slot{'s' * (len(self.slots) != 1)}"

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of the plan, each once."""
        return tuple(dict.fromkeys(planned.kind for planned in self.components))

    def at(self, slots: SlotConfig) -> Plan:
        """Return the plan with other slots, the same in every update."""
        return evolve(self, slots=slots.slot_ids, drawn=())

    def of_kind(self, kind: str) -> tuple[PlannedComponent, ...]:
        """Return the components of a kind, possibly none."""
        return tuple(planned for planned in self.components if planned.kind == kind)

    def component(self, kind: str) -> PlannedComponent:
        """Return the one component of a kind; raises KeyError when there is none or there are several."""
        found = self.of_kind(kind)
        if len(found) != 1:
            raise KeyError(f"the plan holds {len(found)} components of kind '{kind}'")
        return found[0]

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON, options as `to_exact` writes them; `from_json` reads it back."""
        components = [{**asdict(c), "config": to_exact(c.config)} for c in self.components]
        lists = {"slots": list(self.slots), "drawn": list(self.drawn)}
        return {**asdict(self), **lists, "components": components, "train": to_exact(self.train)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Plan:
        """Read what `to_json` returned; raises CheckpointMismatch for another schema, DamagedFile for no plan."""
        if content.get("schema") != PLAN_SCHEMA:
            message = f"The plan has schema {content.get('schema')!r}; this version of esper-core reads {PLAN_SCHEMA}."
            raise CheckpointMismatch(message, hint="Use the version of esper-core that wrote it.")
        plan = shaped(cls, content, "The recorded plan", exactly=True)
        for name, (low, high) in _LIMITS.items():
            if not low <= getattr(plan, name) <= high:
                raise DamagedFile(f"The recorded plan is damaged: its '{name}' is not from {low} to {high}.")
        try:
            SlotConfig(plan.slots)
            for count in plan.drawn:
                SlotConfig.for_grid(1, count)
            components = tuple(evolve(component, config=from_exact(component.config)) for component in plan.components)
            return evolve(plan, components=components, train=from_exact(plan.train))
        except (UserError, NotPlain) as error:
            raise DamagedFile(f"The recorded plan is damaged: {str(error).splitlines()[0].rstrip('.')}.") from error


@frozen(kw_only=True)
class PlanDescription(EnvironmentDescription):
    """What is known of a plan before anything is built: what its environment says, the slots, and the observation."""

    slots: SlotConfig
    feature_schema: FeatureSchema

    @property
    def state_spec(self) -> StateSpec:
        """The published state."""
        return self.state


def make_plan(
    request: PlanRequest, index: Index, recipes: Recipes | None = None, *, despite_capabilities: bool = False
) -> Plan:
    """Choose components and options for a request.

    For each kind the first that says something wins: the request, the policy's recipe, `[defaults]` of the registry
    file, the defaults of the environment, those of other components already chosen, the only installed component of the
    kind that is not `only_by_name`.

    Args:
        request: What was asked for.
        index: What is installed.
        recipes: The registry file.
        despite_capabilities: Plan even where a component lacks a capability it requires, to find out whether what it
            declares is true. Training never does.

    Raises:
        UserError: a name that means nothing, or several things (UnknownComponent, AmbiguousComponent, in registry.toml
            RegistryFileError), an option that is not allowed (ConfigError), components that do not fit together or a
            kind nothing was chosen for (IncompatiblePlan).
        PluginError: a component whose description breaks its contract.
    """
    recipes = recipes or Recipes()
    said = {name: _setting(request, recipes, name) for name in DEFAULTS}
    slots, drawn = said.pop("slots")
    uses = dict(request.uses)
    if request.environment is not None and uses.setdefault("environment", request.environment) != request.environment:
        message = f"The environment is named twice: '{request.environment}' and '{uses['environment']}'."
        raise ConfigError(message, hint="Keep one.")
    shorthands = {"epochs": request.epochs, "workers": request.workers}
    selection = select(
        index,
        recipes,
        policy=request.policy,
        uses=uses,
        wanted=request.wanted,
        options=request.options,
        shorthands=shorthands,
    )
    environment = selection.chosen["environment"]
    description = describe_environment(environment, selection.config(environment), slots)
    selection.add_uses(description.uses)
    selection.check_options()
    components = selection.components()
    check_reads(components, environment, description.state)
    check_sides(components, environment, description, lambda: _two_sided(index, slots))
    if not despite_capabilities:
        check_capabilities(components, index)
        check_operations(components, environment, description.actions, index)
    configs = [planned_config(component, selection.config(component)) for component in components]
    planned = [PlannedComponent.of(component, config) for component, config in zip(components, configs, strict=True)]
    train = unstructure_config(selection.train_config(description.train))
    plan = Plan(
        policy=selection.policy, slots=slots.slot_ids, drawn=drawn, components=tuple(planned), train=train, **said
    )
    # Whatever cannot be described, such as an observation with impossible options, must fail before anything is built.
    known, by_kind = describe_plan(plan, index), {component.kind: component for component in components}
    check_repeats(environment, known, plan.envs, plan.train)
    if not despite_capabilities:
        check_arrays(by_kind["network"], by_kind["features"], known.feature_schema, index)
    if drawn:
        every = {count: describe_plan(plan.at(SlotConfig.for_grid(1, count)), index) for count in drawn}
        described = {count: (known.feature_schema, known.actions) for count, known in every.items()}
        check_drawn(by_kind["network"], described, plan.train["rollout_steps"], index)
    return plan


def describe_plan(plan: Plan, index: Index) -> PlanDescription:
    """Return what is known of a plan before it is built; raises what `make_plan` raises for the same reasons."""
    slots = plan.slot_config
    environment, features = (find_planned(index, plan.component(kind)) for kind in ("environment", "features"))
    config = structure_config(environment, plan.component("environment").config)
    known = describe_environment(environment, config, slots)
    check_restarts(environment, known, plan.train.get("rollout_steps"))
    config = structure_config(features, plan.component("features").config)
    schema = _describe(features, FeatureSchema, config, slots, known.actions, known.state)
    return PlanDescription(slots=slots, feature_schema=schema, **asdict(known, recurse=False))


def takes_any_slots(plan: Plan, index: Index) -> bool:
    """Return whether the weights of a plan's network are said to fit any number of slots; raises UnknownComponent."""
    return ANY_SLOTS in find_planned(index, plan.component("network")).spec.provides


def owners_of(plan: Plan, index: Index) -> Owners:
    """Return whose code the parts of a plan are; raises UnknownComponent."""
    return Owners({planned.kind: find_planned(index, planned).owner for planned in plan.components})


def describe_environment(component: Component, config: Any, slots: SlotConfig) -> EnvironmentDescription:
    """Return an environment's description; raises PluginError when it gives none."""
    return _describe(component, EnvironmentDescription, config, slots)


def _two_sided(index: Index, slots: SlotConfig) -> list[str]:
    """Return the names of the environments here that have two sides when nothing is said about their options."""
    names = []
    for component in index.of_kind("environment"):
        with suppress(EsperError):
            if describe_environment(component, structure_config(component, {}), slots).sides:
                names.append(component.name)
    return sorted(names)


def _describe(component: Component, expected: type[Described], config: Any, *arguments: Any) -> Described:
    reference = component.spec.describe
    if not reference:
        message = f"{component} has no description, so nothing can be planned with it."
        raise PluginError(message, hint="Its author must set `describe` in its ComponentSpec.")
    describe = load_reference(reference, str(component), component.distribution)
    with guarded(str(component), "describing itself"):
        try:
            found = describe(config, *arguments)
        except ValueError as error:
            reason = str(error).rstrip(".")
            raise Refused(f"{component} cannot be used like this: {reason}.", hint="Change its options.") from error
    if not isinstance(found, expected):
        returned = f"'{reference}' returned a {type(found).__name__}"
        raise component.owner.breach(f"{returned} instead of {expected.__name__}")
    return found


def check_updates(updates: int) -> None:
    """Check a number of updates that is asked for beside a plan; raises ConfigError."""
    _check("updates", updates, "--updates")


def _setting(request: PlanRequest, recipes: Recipes, name: str) -> Any:
    """Return a setting, checked: as the request says, else the registry file, else as nobody does."""
    asked = getattr(request, name)
    if asked is not None or name not in recipes.settings:
        return _check(name, DEFAULTS[name] if asked is None else asked, f"--{name}")
    try:
        return _check(name, recipes.settings[name], name)
    except UserError as error:
        raise recipes.located(("defaults", name), error) from error


def _check(name: str, value: Any, label: str) -> Any:
    """Return the value of a setting, slots as `SlotConfig.parse_drawn` does; raises ConfigError or SlotIdError."""
    if name == "slots":
        return SlotConfig.parse_drawn(value)
    if name == "device" and not _DEVICE.fullmatch(value):
        raise ConfigError(f"{label} cannot be '{value}'.", hint="Allowed: auto, cpu, cuda or cuda:1, for example.")
    if name == "precision" and value not in PRECISIONS:
        message = f"{label} cannot be '{value}'.{did_you_mean(value, PRECISIONS)}"
        raise ConfigError(message, hint=f"Allowed: {', '.join(PRECISIONS)}.")
    low, high = _LIMITS.get(name, (value, value))
    if not low <= value <= high:
        raise ConfigError(f"{label} cannot be {value}.", hint=f"Allowed: a whole number from {low} to {high}.")
    return value
