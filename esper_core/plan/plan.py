"""A plan: everything a run is made of, as data. Making one imports no torch and builds nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import asdict, evolve, field, frozen

from esper_core.contracts.actions import ActionSpec
from esper_core.contracts.errors import (
    CheckpointMismatch,
    ConfigError,
    DamagedFile,
    PluginError,
    Refused,
    SlotIdError,
    did_you_mean,
)
from esper_core.contracts.features import FeatureSchema
from esper_core.contracts.foreign import guarded
from esper_core.contracts.plain import NotPlain, from_exact, to_exact
from esper_core.contracts.precision import PRECISIONS
from esper_core.contracts.slots import SlotConfig
from esper_core.contracts.state import EnvironmentDescription, Outcome, StateSpec
from esper_core.plan.config import planned_config, structure_config, unstructure_config
from esper_core.plan.fit import check_capabilities, check_reads
from esper_core.plan.lookup import find_planned
from esper_core.plan.recipes import Recipes
from esper_core.plan.selection import select
from esper_core.registry.index import Component, Index
from esper_core.registry.references import load_reference
from esper_core.system.shape import shaped

PLAN_SCHEMA = 1

DEFAULT_SLOTS, DEFAULT_ENVS, DEFAULT_UPDATES, DEFAULT_SEED, DEFAULT_DEVICE = "3", 8, 40, 0, "auto"
DEFAULT_THREADS, DEFAULT_PRECISION = 1, "float32"

_NUMBERS = {  # default, smallest, largest
    "envs": (DEFAULT_ENVS, 1, 2**16),
    "updates": (DEFAULT_UPDATES, 1, 2**31 - 1),
    "seed": (DEFAULT_SEED, 0, 2**63 - 1),
    "threads": (DEFAULT_THREADS, 1, 1024),
}
_DEVICE = re.compile(r"[a-z]+(:\d+)?")


@frozen(kw_only=True)
class PlanRequest:
    """What was asked for; None means that nothing was said.

    Attributes:
        policy: Name of a recipe or of a network.
        slots: A count (`5`) or ids (`r0c0,r0c2`).
        uses: Components chosen by kind: kind → name.
        options: Settings, each `KIND.key=VALUE`.
        environment: Shorthand for `uses["environment"]`.
        envs: Environments side by side.
        epochs: Host epochs per episode: the environment's option `epochs`.
        workers: Processes that train hosts: the environment's option `workers`.
        updates: Updates of the run.
        seed: Seed of the run.
        device: torch device, or 'auto'.
        threads: Threads within one operation of the policy.
        precision: What networks compute in.
    """

    policy: str | None = None
    slots: str | None = None
    uses: Mapping[str, str] = field(factory=dict)
    options: Sequence[str] = ()
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
class PlannedComponent:
    """One component of a plan, with its full config."""

    kind: str
    name: str
    distribution: str
    version: str
    # Compared as it is written, since a number that is none equals nothing, not even itself.
    config: dict[str, Any] = field(factory=dict, eq=to_exact)

    @property
    def key(self) -> str:
        """`kind/name`."""
        return f"{self.kind}/{self.name}"


@frozen(kw_only=True)
class Plan:
    """Everything a run is made of; two equal plans train the same policy.

    Attributes:
        schema: Version of this layout.
        policy: Name of the policy.
        slots: Slot ids in order.
        seed: Seed of the run.
        envs: Environments side by side, E.
        updates: Updates of the run.
        device: torch device, or 'auto'.
        threads: Threads within one operation of the policy; another number splits sums, and so rounds, otherwise.
        precision: What networks compute in, one of `esper_core.contracts.precision.PRECISIONS`.
        components: Chosen components, several only of kinds that the environment draws on by name.
        train: Settings of the trainer, defaults included.
    """

    schema: int = PLAN_SCHEMA
    policy: str
    slots: tuple[str, ...]
    seed: int
    envs: int
    updates: int
    device: str
    threads: int = DEFAULT_THREADS
    precision: str = DEFAULT_PRECISION
    components: tuple[PlannedComponent, ...]
    train: dict[str, Any]

    @property
    def slot_config(self) -> SlotConfig:
        """The slots as a SlotConfig."""
        return SlotConfig(self.slots)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of the plan, each once."""
        return tuple(dict.fromkeys(planned.kind for planned in self.components))

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
        return {**asdict(self), "slots": list(self.slots), "components": components, "train": to_exact(self.train)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Plan:
        """Read what `to_json` returned.

        Raises:
            CheckpointMismatch: another schema.
            DamagedFile: values that are no plan.
        """
        if content.get("schema") != PLAN_SCHEMA:
            raise CheckpointMismatch(
                f"The plan has schema {content.get('schema')!r}; this version of esper-core reads {PLAN_SCHEMA}.",
                hint="Use the version of esper-core that wrote it.",
            )
        plan = shaped(cls, content, "The recorded plan", exactly=True)
        for name, (_, low, high) in _NUMBERS.items():
            if not low <= getattr(plan, name) <= high:
                raise DamagedFile(f"The recorded plan is damaged: its '{name}' is not from {low} to {high}.")
        try:
            SlotConfig(plan.slots)
            components = tuple(evolve(component, config=from_exact(component.config)) for component in plan.components)
            return evolve(plan, components=components, train=from_exact(plan.train))
        except SlotIdError as error:
            raise DamagedFile(f"The recorded plan is damaged: {error.message}") from error
        except NotPlain as error:
            raise DamagedFile(f"The recorded plan is damaged: {error}.") from error


@frozen(kw_only=True)
class PlanDescription:
    """What is known of a plan before anything is built.

    Attributes:
        slots: The slots.
        actions: The environment's action table.
        state_spec: What the environment publishes.
        horizon: Steps per episode, T.
        feature_schema: Layout of the observation.
        uses: Components the environment draws on, by the names it gives them: kind → names.
        outcomes: Numbers that say what came of an episode.
    """

    slots: SlotConfig
    actions: ActionSpec
    state_spec: StateSpec
    horizon: int
    feature_schema: FeatureSchema
    uses: Mapping[str, tuple[str, ...]]
    outcomes: tuple[Outcome, ...]


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
        UnknownComponent, AmbiguousComponent: a name that means nothing, or several things.
        ConfigError: an option that does not exist or is not allowed.
        IncompatiblePlan: components that do not fit together, or a kind nothing was chosen for.
        RegistryFileError: a name in registry.toml that means nothing.
        PluginError: a component whose description breaks its contract.
    """
    recipes = recipes or Recipes()
    numbers = {name: _number(request, recipes, name) for name in _NUMBERS}
    device, precision = _device(request, recipes), _precision(request, recipes)
    slots = _slots(request, recipes)
    uses = dict(request.uses)
    if request.environment is not None and uses.setdefault("environment", request.environment) != request.environment:
        raise ConfigError(
            f"The environment is named twice: '{request.environment}' and '{uses['environment']}'.", hint="Keep one."
        )
    shorthands = {"epochs": request.epochs, "workers": request.workers}
    selection = select(index, recipes, policy=request.policy, uses=uses, options=request.options, shorthands=shorthands)
    environment = selection.chosen["environment"]
    description = describe_environment(environment, selection.config(environment), slots)
    selection.add_uses(description.uses)
    selection.check_options()
    components = selection.components()
    check_reads(components, environment, description.state)
    if not despite_capabilities:
        check_capabilities(components, index)
    plan = Plan(
        policy=selection.policy,
        slots=slots.slot_ids,
        device=device,
        precision=precision,
        components=tuple(_planned(component, selection.config(component)) for component in components),
        train=unstructure_config(selection.train_config()),
        **numbers,
    )
    # Whatever cannot be described, such as an observation with impossible options, must fail before anything is built.
    describe_plan(plan, index)
    return plan


def describe_plan(plan: Plan, index: Index) -> PlanDescription:
    """Return what is known of a plan before it is built; raises what `make_plan` raises for the same reasons."""
    slots = plan.slot_config
    planned = plan.component("environment")
    environment = find_planned(index, planned)
    description = describe_environment(environment, structure_config(environment, planned.config), slots)
    planned = plan.component("features")
    features = find_planned(index, planned)
    config = structure_config(features, planned.config)
    schema = _describe(features, config, slots, description.actions, description.state)
    if not isinstance(schema, FeatureSchema):
        raise _broken_description(features, schema, "a FeatureSchema")
    return PlanDescription(
        slots=slots,
        actions=description.actions,
        state_spec=description.state,
        horizon=description.horizon,
        feature_schema=schema,
        uses=description.uses,
        outcomes=description.outcomes,
    )


def describe_environment(component: Component, config: Any, slots: SlotConfig) -> EnvironmentDescription:
    """Return an environment's description; raises PluginError when it gives none."""
    description = _describe(component, config, slots)
    if not isinstance(description, EnvironmentDescription):
        raise _broken_description(component, description, "an EnvironmentDescription")
    return description


def _describe(component: Component, config: Any, *arguments: Any) -> Any:
    reference = component.spec.describe
    if not reference:
        raise PluginError(
            f"{component} has no description, so nothing can be planned with it.",
            hint="Its author must set `describe` in its ComponentSpec.",
        )
    describe = load_reference(reference, str(component), component.distribution)
    hint = "Use --debug for the traceback, and report it to the plugin's author."
    with guarded(str(component), "describing itself", hint=hint):
        try:
            return describe(config, *arguments)
        except ValueError as error:
            reason = str(error).rstrip(".")
            raise Refused(f"{component} cannot be used like this: {reason}.", hint="Change its options.") from error


def _broken_description(component: Component, found: object, expected: str) -> PluginError:
    return PluginError(
        f"{component} breaks its contract: '{component.spec.describe}' returned a {type(found).__name__}, "
        f"not {expected}.",
        hint="Report this to the plugin's author.",
    )


def _planned(component: Component, config: Any) -> PlannedComponent:
    return PlannedComponent(
        kind=component.kind,
        name=component.name,
        distribution=component.distribution,
        version=component.version,
        config=planned_config(component, config),
    )


def _number(request: PlanRequest, recipes: Recipes, name: str) -> int:
    default, low, high = _NUMBERS[name]
    value, said_by_file = _said(request, recipes, name, default)
    if low <= value <= high:
        return int(value)
    message, hint = f"{name} cannot be {value}.", f"Allowed: a whole number from {low} to {high}."
    if said_by_file:
        raise recipes.error(("defaults", name), message, hint)
    raise ConfigError(f"--{message}", hint=hint)


def check_updates(updates: int) -> None:
    """Check a number of updates that is asked for beside a plan; raises ConfigError."""
    _, low, high = _NUMBERS["updates"]
    if not low <= updates <= high:
        raise ConfigError(f"--updates cannot be {updates}.", hint=f"Allowed: a whole number from {low} to {high}.")


def _device(request: PlanRequest, recipes: Recipes) -> str:
    device, said_by_file = _said(request, recipes, "device", DEFAULT_DEVICE)
    if _DEVICE.fullmatch(device):
        return str(device)
    message, hint = f"device cannot be '{device}'.", "Allowed: auto, cpu, cuda or cuda:1, for example."
    if said_by_file:
        raise recipes.error(("defaults", "device"), message, hint)
    raise ConfigError(f"--{message}", hint=hint)


def _precision(request: PlanRequest, recipes: Recipes) -> str:
    precision, said_by_file = _said(request, recipes, "precision", DEFAULT_PRECISION)
    if precision in PRECISIONS:
        return str(precision)
    message = f"precision cannot be '{precision}'.{did_you_mean(precision, PRECISIONS)}"
    hint = f"Allowed: {', '.join(PRECISIONS)}."
    if said_by_file:
        raise recipes.error(("defaults", "precision"), message, hint)
    raise ConfigError(f"--{message}", hint=hint)


def _slots(request: PlanRequest, recipes: Recipes) -> SlotConfig:
    text, said_by_file = _said(request, recipes, "slots", DEFAULT_SLOTS)
    try:
        return SlotConfig.parse(text)
    except SlotIdError as error:
        if said_by_file:
            raise recipes.error(("defaults", "slots"), error.message, error.hint) from error
        raise


def _said(request: PlanRequest, recipes: Recipes, name: str, default: Any) -> tuple[Any, bool]:
    """Return the value of a setting and whether the registry file says it."""
    value = getattr(request, name)
    if value is not None:
        return value, False
    return recipes.settings.get(name, default), name in recipes.settings
