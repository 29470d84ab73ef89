"""Choosing the components of a plan and collecting what is said about their options."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from attrs import define, field, frozen

from esper_core.composition import config as configs
from esper_core.composition.config import BadOption, Option
from esper_core.composition.fit import TEACHER
from esper_core.composition.recipes import Recipe, Recipes
from esper_core.contracts.components import normalise_name
from esper_core.contracts.errors import (
    AmbiguousComponent,
    ConfigError,
    IncompatiblePlan,
    PluginError,
    UnknownComponent,
    UserError,
    did_you_mean,
)
from esper_core.registry.index import Component, Index
from esper_core.registry.references import load_reference
from esper_core.registry.resolve import absent_plugins, check_kind, resolve, split_name

REQUIRED_KINDS = ("network", "environment", "features", "critic", "masks", "loss")
"""What every training plan needs, in the order in which they are chosen."""

TRAIN = "train"
"""Prefix of the trainer's options, which belong to no component."""
TEACHES = "teacher_"
"""Beginning of those that a teacher alone makes use of."""
TRAIN_CONFIG = "esper_core.learning.config:TrainConfig"


@frozen
class _Choice:
    """A name for a kind and who said it; `keys` is its place in the registry file, if it stands there."""

    name: str
    origin: str = ""
    keys: tuple[str, ...] = ()


@frozen
class _Setting:
    """An option, how it was written, and its place in the registry file, if it stands there."""

    option: Option
    text: str
    keys: tuple[str, ...] = ()


@define
class Selection:
    """The components of a plan in the making.

    Attributes:
        recipe: The policy's recipe; an empty one for a network without recipe.
        uses: Components named by the request: kind → name.
        wanted: Further kinds of which it asks for a component.
        chosen: Components by kind, in the order in which they were chosen.
        several: Components the environment draws on: kind → its name for each → component.
    """

    index: Index
    recipes: Recipes
    policy: str
    recipe: Recipe
    uses: Mapping[str, str]
    wanted: Sequence[str] = ()
    chosen: dict[str, Component] = field(factory=dict)
    several: dict[str, dict[str, Component]] = field(factory=dict)
    _settings: list[_Setting] = field(factory=list)

    def choose_all(self) -> None:
        """Choose a component for every kind that is required, named, or in the defaults of a chosen component."""
        pending = [*REQUIRED_KINDS, *self.uses, *self.recipe.uses, *self.wanted]
        for kind in pending:
            if kind not in self.chosen:
                self.chosen[kind] = component = self.choose(kind)
                # The list grows while it is walked: defaults of defaults are followed too.
                pending += filter(self._is_planned, map(normalise_name, component.spec.defaults))

    def add_uses(self, uses: Mapping[str, Sequence[str]]) -> None:
        """Add what the environment draws on by name; raises ConfigError for a kind that is chosen already."""
        environment = self.chosen["environment"]
        for kind, names in uses.items():
            if kind in self.chosen:
                message = f"{environment} says itself which {kind} components it uses, so none can be chosen for it."
                hint = f"Change its options instead, and drop the choice of {kind} '{self.chosen[kind].name}'."
                raise ConfigError(message, hint=hint)
            origin = f"the options of {environment}"
            self.several[kind] = {name: self._resolve(kind, _Choice(name, origin)) for name in names}

    def components(self) -> tuple[Component, ...]:
        """Return all components, each once."""
        every = [*self.chosen.values(), *(c for named in self.several.values() for c in named.values())]
        return tuple({(c.key, c.distribution): c for c in every}.values())

    def set_options(self, texts: Sequence[str | Option], shorthands: Mapping[str, int | None]) -> None:
        """Collect the options of recipe and request, and shorthands of the environment's, in ascending precedence.

        Raises ConfigError for what cannot be read, concerns an unknown kind, is chosen twice, or means nothing here.
        """
        of_environment = self._options_of("environment")
        for key in shorthands:
            if key in self.recipes.settings and key in of_environment:
                default = Option("environment", None, key, self.recipes.settings[key])
                self._settings.append(_Setting(default, key, ("defaults", key)))
        self._settings += self._recipe_settings()
        said = [_Setting(configs.parse_option(text), str(text)) for text in texts]
        for setting in said:
            self._check_kind(setting)
        for key, value in shorthands.items():
            if value is None:
                continue
            if key not in of_environment:
                message = f"{self.chosen['environment']} has no option '{key}', so --{key} means nothing to it."
                raise ConfigError(message, hint=f"Drop --{key}.")
            for setting in said:
                option = setting.option
                if (option.kind, option.key) == ("environment", key) and option.value != value:
                    twice = f"environment.{key} is chosen twice: --{key} {value} and -o {setting.text}."
                    raise ConfigError(twice, hint="Keep one.")
            said.append(_Setting(Option("environment", None, key, value), f"--{key} {value}"))
        self._settings += said

    def _recipe_settings(self) -> Iterator[_Setting]:
        """Yield the recipe's options; those of a component that the request replaced are left out."""
        for option in self._recipe_options():
            scope = (option.kind, *([option.name] if option.name else []), option.key)
            setting = _Setting(option, ".".join(scope), ("policy", self.recipe.name, "options", *scope))
            self._check_kind(setting)
            meant = [split_name(choice.name)[1] for choice in self.choices(option.kind)][:2]
            if option.kind not in self.uses or len({*meant}) == 1:
                yield setting

    def _recipe_options(self) -> Iterator[Option]:
        """Yield the recipe's options; a table under the name of a component holds options of that component."""
        for kind, _, key, value in self.recipe.options:
            name = normalise_name(key)
            drawn_on = kind not in self.chosen and kind != TRAIN
            if isinstance(value, Mapping) and (drawn_on or self._is_installed(kind, name)):
                yield from (Option(kind, name, own, entry) for own, entry in value.items())
            else:
                yield Option(kind, None, key, value)

    def _check_kind(self, setting: _Setting) -> None:
        known, kind = sorted([TRAIN, *self.index.kinds]), setting.option.kind
        if kind not in known:
            nearest = did_you_mean(kind, known)
            message = f"The option '{setting.text}' belongs to nothing: there is no kind '{kind}'.{nearest}"
            raise self._error(setting, message, f"Options begin with: {', '.join(known)}.")

    def config(self, component: Component) -> Any:
        """Return the config of a component with everything said about it."""
        prefix = f"{component.kind}.{component.name}" if component.kind in self.several else component.kind
        said = [setting for setting in self._settings if _concerns(setting.option, component)]
        return self._structured(said, partial(configs.structure_config, component, prefix=prefix))

    def train_config(self, wanted: Mapping[str, Any]) -> Any:
        """Return the trainer's config: what was said about it, else what the environment wants, else its defaults.

        Raises PluginError where the environment wants what cannot be.
        """
        make = partial(
            configs.structure, load_reference(TRAIN_CONFIG, "the trainer"), prefix=TRAIN, owner="the trainer"
        )
        try:
            make(wanted)
        except ConfigError as error:
            environment = self.chosen["environment"]
            raise PluginError(f"{environment} wants what the trainer does not take: {error.message}") from error
        said = [setting for setting in self._settings if setting.option.kind == TRAIN]
        return self._structured(said, lambda values: make({**wanted, **values}))

    def _structured(self, said: Sequence[_Setting], make: Callable[[dict[str, Any]], Any]) -> Any:
        """Return what is made of settings, the last of each option; an error names the place of what it is about."""
        by_key = {setting.option.key.replace("-", "_"): setting for setting in said}
        try:
            return make({key: setting.option.value for key, setting in by_key.items()})
        except BadOption as error:
            if error.key not in by_key or not by_key[error.key].keys:
                raise
            raise self._error(by_key[error.key], error.message, error.hint) from error

    def check_options(self) -> None:
        """Raise ConfigError for an option that concerns no component of the plan, or several at once.

        A recipe's options for components that the request replaced are not errors; those of the request are.
        """
        for setting in self._settings:
            option = setting.option
            planned = [c for c in self.components() if c.kind == option.kind]
            if option.kind == TRAIN:
                if option.name is not None:
                    raise self._error(setting, f"'{setting.text}' reads {TRAIN}.key=VALUE without a name between.")
                if self._teaches_nobody(option):
                    message = f"'{setting.text}' concerns nothing: no rule teaches in this plan."
                    raise self._error(setting, message, f"Choose one with --use {TEACHER}=NAME, or drop it.")
            elif option.name is None and option.kind in self.several:
                message = f"'{option.kind}.{option.key}' could mean any of {', '.join(c.name for c in planned)}."
                name = planned[0].name if planned else "NAME"
                raise self._error(setting, message, f"Name one, as in {option.kind}.{name}.{option.key}.")
            elif not any(_concerns(option, component) for component in planned):
                if setting.keys and (option.name is None or self._is_installed(option.kind, option.name)):
                    continue
                label = f"{option.kind} '{option.name}'" if option.name else option.kind
                suggestion = did_you_mean(option.name or "", [c.name for c in planned])
                message = f"'{setting.text}' concerns no component: the plan has no {label}.{suggestion}"
                known = ", ".join(f"{c.kind} '{c.name}'" for c in planned or self.components())
                raise self._error(setting, message, f"It has {known}.")

    def _teaches_nobody(self, option: Option) -> bool:
        """Return whether an option says otherwise than nothing said how a teacher teaches, and there is none."""
        key = option.key.replace("-", "_")
        if TEACHER in self.chosen or not key.startswith(TEACHES):
            return False
        return bool(getattr(load_reference(TRAIN_CONFIG, "the trainer")(), key, None) != option.value)

    def choose(self, kind: str) -> Component:
        """Return the component of a kind that the first to say something names, else the only installed one."""
        for choice in self.choices(kind):
            return self._resolve(kind, choice)
        check_kind(self.index, kind)
        installed = self.index.of_kind(kind)
        eligible = [component for component in installed if not component.spec.only_by_name]
        if len(eligible) == 1:
            return eligible[0]
        planned = self._is_planned(kind)
        if not installed:
            message = f"No {kind} is installed{', and a plan needs one' * planned}."
            hint = f"Install a plugin that provides one. {absent_plugins(self.index)}".strip()
            raise UnknownComponent(message, hint=hint)
        user = self.chosen.get("network") or self.policy or self.chosen.get("environment")
        flag = f"--use {kind}=NAME" if planned else f"--{kind} NAME"
        message = f"Nothing says which {kind} to use{f' with {user}' if user else ''}."
        raise IncompatiblePlan(message, hint=f"Choose one with {flag}: {', '.join(self.index.names(kind))}.")

    def choices(self, kind: str) -> Iterator[_Choice]:
        """Yield everything that names a component for a kind, the strongest first."""
        if kind in self.uses:
            yield _Choice(self.uses[kind])
        if kind in self.recipe.uses:
            yield _Choice(self.recipe.uses[kind], keys=("policy", self.recipe.name, kind))
        elif kind == "network":
            keys = ("policy", self.policy) if self.policy in self.recipes.policies else ()
            yield _Choice(self.policy, keys=keys)
        if kind in self.recipes.defaults:
            yield _Choice(self.recipes.defaults[kind], keys=("defaults", kind))
        # What an environment says about itself outweighs what a network is usually used with; last comes what is used
        # with the policy's network where the request replaced that.
        chosen = sorted(self.chosen.values(), key=lambda chosen: chosen.kind != "environment")
        for component in (*chosen, *self._replaced_networks()):
            for needed, name in component.spec.defaults.items():
                if normalise_name(needed) == kind:
                    yield _Choice(name, f"the defaults of {component}")

    def _resolve(self, kind: str, choice: _Choice) -> Component:
        try:
            return resolve(self.index, kind, choice.name, self.recipes.pins)
        except (UnknownComponent, AmbiguousComponent) as error:
            if choice.origin:
                error.message += f" It is named by {choice.origin}."
            if choice.keys:
                raise self.recipes.located(choice.keys, error) from error
            raise

    def _replaced_networks(self) -> Iterator[Component]:
        name = self.recipe.uses.get("network", self.policy)
        if "network" in self.uses and split_name(name)[1] in self.index.names("network"):
            yield self._resolve("network", _Choice(name))

    def _is_installed(self, kind: str, name: str) -> bool:
        return any(component.is_called(name) for component in self.index.of_kind(kind))

    def _is_planned(self, kind: str) -> bool:
        """Return whether a plan holds components of a kind; components that wait for a plugin to declare it do not."""
        if kind in self.index.kinds:
            return self.index.kinds[kind].planned
        return kind not in {lost.component.kind for lost in self.index.unavailable}

    def _options_of(self, kind: str) -> list[str]:
        return [row.key for row in configs.describe_options(configs.config_class(self.chosen[kind]))]

    def _error(self, setting: _Setting, message: str, hint: str = "") -> UserError:
        return self.recipes.located(setting.keys, ConfigError(message, hint=hint))


def select(
    index: Index,
    recipes: Recipes,
    *,
    policy: str | None,
    uses: Mapping[str, str],
    wanted: Sequence[str] = (),
    options: Sequence[str | Option],
    shorthands: Mapping[str, int | None],
) -> Selection:
    """Return the components for a policy and a few explicit choices, with the options said about them."""
    check_kind(index, "network")
    named = {check_kind(index, kind): name for kind, name in uses.items()}
    name, keys = _policy_name(index, recipes, policy, named)
    recipe = recipes.policies.get(normalise_name(name))
    if recipe is None and normalise_name(name) not in index.names("network"):
        name = check_policy(index, recipes, name, keys).qualified
    selection = Selection(index, recipes, recipe.name if recipe else name, recipe or Recipe(""), named, wanted)
    selection.choose_all()
    if recipe is None:
        selection.policy = split_name(name)[1]
    selection.set_options(options, shorthands)
    return selection


def _policy_name(
    index: Index, recipes: Recipes, policy: str | None, uses: Mapping[str, str]
) -> tuple[str, tuple[str, ...]]:
    """Return the policy asked for and, when the registry file says it, its place there."""
    if policy is not None:
        return policy, ()
    if "network" in uses:
        return uses["network"], ()
    for key, table in (("policy", recipes.settings), ("network", recipes.defaults)):
        if key in table:
            return table[key], ("defaults", key)
    networks = index.names("network")
    if len(networks) == 1:
        return networks[0], ()
    names = ", ".join(sorted({*recipes.policies, *networks}))
    hint = f"Choose one with --policy: {names}." if names else f"No network is installed. {absent_plugins(index)}"
    raise IncompatiblePlan("Nothing says which policy to use.", hint=hint)


def check_policy(index: Index, recipes: Recipes, name: str, keys: tuple[str, ...] = ()) -> Component:
    """Return the network that the name of a policy without recipe means.

    Raises UserError where it means nothing or several networks; `keys` is its place, if it stands in the registry file.
    """
    try:
        return resolve(index, "network", name, recipes.pins)
    except UnknownComponent as error:
        known = sorted({*recipes.policies, *index.names("network")})
        error.message = f"No policy named '{name}'.{did_you_mean(split_name(name)[1], known)}"
        error.hint = f"Policies here: {', '.join(known) or 'none'}. {absent_plugins(index)}".strip()
        raise recipes.located(keys, error) from None


def _concerns(option: Option, component: Component) -> bool:
    return option.kind == component.kind and (option.name is None or component.is_called(option.name))
