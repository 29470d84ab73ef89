"""Components that no distribution brings: classes, functions and objects of a script, known to this process alone."""

from __future__ import annotations

import copy
import hashlib
import inspect
import re
import secrets
import sys
from collections.abc import Callable, Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any

from attrs import evolve, field, frozen

from esper_core.contracts.components import ComponentSpec, normalise_name
from esper_core.contracts.errors import ConfigError
from esper_core.registry.discovery import Source
from esper_core.registry.hookspecs import hookimpl
from esper_core.system.packages import LOCAL_DISTRIBUTION

_objects: dict[str, Any] = {}
"""What specs of local components name as attributes of this module."""

_sources: dict[tuple[str, str], Source] = {}
"""Their plugins, by kind and name."""


def __getattr__(name: str) -> Any:
    if name in _objects:
        return _objects[name]
    raise AttributeError(f"no local component is called '{name}'", name=name, obj=sys.modules[__name__])


@frozen
class LocalComponent:
    """A component of a script. `esper_core.component` makes one.

    Attributes:
        factory: Called as `factory(config, context)`.
        name: Kebab-case name.
        version: A digest of its source.
        config: attrs class of its options.
        describe: As `describe` of a `ComponentSpec`, but the function itself.
        details: Further attributes of its `ComponentSpec`.
    """

    factory: Callable[..., Any]
    name: str
    version: str
    config: type | None = None
    describe: Callable[..., Any] | None = None
    details: Mapping[str, Any] = field(factory=dict)


def component(
    what: Any,
    *,
    name: str | None = None,
    config: type | None = None,
    describe: Callable[..., Any] | None = None,
    **details: Any,
) -> LocalComponent:
    """Return a class, a function or an object as a component that `plan(use=...)` takes.

    Args:
        what: A class or a function, called as `what(config, context)`; or an object, of which every run gets a copy.
        name: Kebab-case name; made from that of the class or function without.
        config: attrs class of its options; without one it has none.
        describe: For features and environments, the torch-free function that a `ComponentSpec` names as `describe`.
        details: Further attributes of a `ComponentSpec`, such as `provides`, `requires`, `reads` and `defaults`.

    Raises:
        ConfigError: a name that is not kebab-case, or an attribute that a `ComponentSpec` does not have.
    """
    if what is None or isinstance(what, str | int | float | Mapping | list | tuple):
        raise ConfigError(
            f"{what!r:.80} is no component.", hint="Give a class, a function or an object that acts as one."
        )
    is_factory = inspect.isclass(what) or inspect.isroutine(what) or isinstance(what, partial)
    made_of = what if is_factory else type(what)
    label = getattr(made_of, "__name__", type(made_of).__name__)
    found = LocalComponent(
        what if is_factory else lambda config, context: copy.deepcopy(what),
        name or "-".join(re.findall(r"[A-Z]*[a-z0-9]+|[A-Z]+", label)).lower(),
        f"0+{_digest(made_of) if is_factory else secrets.token_hex(4)}",
        config,
        describe,
        details,
    )
    _spec(found, "network")
    return found


def register(kind: str, what: Any) -> str:
    """Make a component known to this process, in place of an earlier one of its name, and return its full name."""
    found = what if isinstance(what, LocalComponent) else component(what)
    spec = _spec(found, normalise_name(kind))
    for attribute, value in (("", found.factory), ("_config", found.config), ("_describe", found.describe)):
        _objects[_attribute(spec) + attribute] = value
    if (own := _own_reference(found.factory)) is not None:
        spec = evolve(spec, factory=own)
    plugin = SimpleNamespace(esper_components=hookimpl(lambda: [spec]))
    _sources[spec.kind, spec.name] = Source(
        f"{LOCAL_DISTRIBUTION}-{spec.kind}-{spec.name}", LOCAL_DISTRIBUTION, found.version, "", lambda: plugin
    )
    return f"{LOCAL_DISTRIBUTION}:{spec.name}"


def local_sources() -> tuple[Source, ...]:
    """Return the plugins of this process's own components."""
    return tuple(_sources.values())


def _spec(found: LocalComponent, kind: str) -> ComponentSpec:
    summary = (inspect.getdoc(found.factory) or f"{found.name} of a script").partition("\n")[0]
    # Nothing that names no component may get one that was tried earlier in this process.
    details = {"summary": summary, "only_by_name": True, **found.details}
    try:
        blank = ComponentSpec(kind=kind, name=found.name, factory="x:x", **details)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"{found.name} cannot be a component: {error}.", hint="See the attributes of esper_core.ComponentSpec."
        ) from error
    here = f"{__name__}:{_attribute(blank)}"
    return evolve(
        blank,
        factory=here,
        config=f"{here}_config" if found.config is not None else "",
        describe=f"{here}_describe" if found.describe is not None else "",
    )


def _attribute(spec: ComponentSpec) -> str:
    return f"{spec.kind}_{spec.name}".replace("-", "_")


def _own_reference(factory: Any) -> str | None:
    """Return `module:attribute` of a factory that lies at the top of its module, whose source is then known."""
    module, name = getattr(factory, "__module__", None), getattr(factory, "__name__", "")
    return f"{module}:{name}" if getattr(sys.modules.get(module or ""), name, None) is factory else None


def _digest(what: Any) -> str:
    try:
        text = inspect.getsource(what)
    except (OSError, TypeError):
        return secrets.token_hex(4)
    return hashlib.sha256(text.encode()).hexdigest()[:8]
