"""What a plugin registers: light, frozen, torch-free descriptions of components and kinds."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from attrs import Attribute, field, frozen
from attrs.validators import deep_iterable, deep_mapping, instance_of

from esper_core.contracts.tuples import as_tuple


def normalise_name(name: str) -> str:
    """Return the canonical spelling of a component name: lower case, dashes for underscores and dots."""
    return re.sub(r"[_.]+", "-", name.strip().lower())


def matching(pattern: str, form: str) -> Callable[[Any, Any, Any], None]:
    """Return an attrs validator that raises ValueError for what is not a string of a pattern."""

    def check(_: object, attribute: Attribute[Any], value: Any) -> None:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise ValueError(f"{attribute.name} '{value}' must {form}")

    return check


_REFERENCE = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*"
_NAME = matching(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", "be kebab-case, such as 'lstm-v2'")
_CAPABILITIES = deep_iterable(matching(r"[a-z][a-z0-9-]*:[a-z][a-z0-9-]*", "read 'kind:capability'"))
_NAMES = deep_iterable(matching(".+", "be a name"))
_TEXTS = deep_mapping(instance_of(str), instance_of(str))
_FLAGS = deep_mapping(_NAME, matching(r"[a-z]\w*", "be an option"))
_REQUIRED = matching(_REFERENCE, "read 'package.module:attribute'")
OPTIONAL = matching(f"({_REFERENCE})?", "read 'package.module:attribute'")


@frozen(kw_only=True)
class ComponentSpec:
    """One component as its plugin describes it. Names are strings, so registering imports nothing heavy.

    Attributes:
        name: Kebab-case name; behaviour is fixed per name.
        factory: `module:attribute`, called as `factory(config, context)`.
        config: `module:attribute` of an attrs class in a torch-free module, or empty for no options.
        summary: One line for listings.
        defaults: Components it is used with when nothing else is said: kind → name.
        aliases: Other names; an alias never beats a real name.
        provides: Capabilities, each `kind:capability`.
        requires: Capabilities that other components of the plan must provide.
        reads: State fields it needs (features, masks and rules).
        describe: `module:attribute` of a torch-free `describe(config, slots)`: for an environment it returns an
            EnvironmentDescription; for features a FeatureSchema, called as
            `describe(config, slots, actions, state_spec)`.
        metrics: `module:attribute` of `esper_core.contracts.metrics.Metric`s in a torch-free module: what the metrics
            mean that it adds to an update.
        weights_version: Raised when the meaning or layout of its weights changes.
        example: `module:attribute` of a function from an empty folder to the options that the checks build it with, for
            what cannot be built with its defaults alone.
        known_failures: Conformance checks that it fails, by name, each with the reason.
        only_by_name: It is never chosen for being the only one of its kind, nor combined by `esper matrix` or played by
            `esper evaluate` unasked.
    """

    kind: str = field(validator=_NAME)
    name: str = field(validator=_NAME)
    factory: str = field(validator=_REQUIRED)
    config: str = field(default="", validator=OPTIONAL)
    summary: str = ""
    defaults: Mapping[str, str] = field(factory=dict, validator=_TEXTS)
    aliases: tuple[str, ...] = field(default=(), converter=as_tuple, validator=_NAMES)
    provides: tuple[str, ...] = field(default=(), converter=as_tuple, validator=_CAPABILITIES)
    requires: tuple[str, ...] = field(default=(), converter=as_tuple, validator=_CAPABILITIES)
    reads: tuple[str, ...] = field(default=(), converter=as_tuple, validator=_NAMES)
    describe: str = field(default="", validator=OPTIONAL)
    metrics: str = field(default="", validator=OPTIONAL)
    weights_version: int = 1
    example: str = field(default="", validator=OPTIONAL)
    known_failures: Mapping[str, str] = field(factory=dict, validator=_TEXTS)
    only_by_name: bool = False

    @property
    def module(self) -> str:
        """Module of its factory."""
        return self.factory.partition(":")[0]


@frozen(kw_only=True)
class KindSpec:
    """A kind of component.

    Attributes:
        protocol: `module:attribute` of the protocol that factories of this kind return.
        conformance: `module:attribute` of the `Suite` of checks every component of the kind must pass, or empty.
        template: `package:folder` of the distribution that `esper plugins new` copies for this kind, or empty: a plugin
            called `my-KIND`, which is replaced in all three spellings (`my-net`, `my_net`, `MyNet`).
        summary: One line for listings.
        planned: Plans hold components of this kind. Others, such as spikes and workloads, are used beside a plan; a
            component may name one in its defaults all the same.
        several: An environment draws on any number of them, which its options name; none is chosen with `--use`.
        flags: Flags of `esper train` that say that a plan gets a component of this kind, which needs none: flag → the
            option of the component that its value is. Without such a flag the kind itself is one, for a name.
    """

    name: str = field(validator=_NAME)
    protocol: str = field(validator=_REQUIRED)
    conformance: str = field(default="", validator=OPTIONAL)
    template: str = field(default="", validator=OPTIONAL)
    summary: str = ""
    planned: bool = True
    several: bool = False
    flags: Mapping[str, str] = field(factory=dict, validator=_FLAGS)
