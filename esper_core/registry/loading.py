"""Loading plugins: each by itself, kinds before components, all or nothing per plugin."""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
import time
import traceback
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pluggy
from attrs import define

from esper_core.contracts.commands import CommandSpec
from esper_core.contracts.components import ComponentSpec, KindSpec, normalise_name
from esper_core.contracts.errors import PluginError, did_you_mean
from esper_core.contracts.foreign import asks_to_stop, described
from esper_core.registry import hookspecs
from esper_core.registry.discovery import Source, entry_point_sources
from esper_core.registry.first_party import undeclared
from esper_core.registry.hookspecs import hookimpl
from esper_core.registry.index import Command, Component, Index, PluginRecord, Status, Unavailable
from esper_core.registry.reserved import RESERVED_KINDS

HEAVY_MODULES = ("torch", "numpy", "gymnasium", "sklearn")
"""Modules whose import makes every command slow; only factories may import them."""

PLUGINS_VARIABLE = "ESPER_PLUGINS"

HOOKS = ("esper_kinds", "esper_components", "esper_commands")


@define
class _Candidate:
    """A plugin on its way into the index."""

    source: Source
    status: Status = "ok"
    error: str | None = None
    trace: str = ""
    seconds: float = 0.0
    heavy: tuple[str, ...] = ()
    manager: pluggy.PluginManager | None = None
    kinds: tuple[KindSpec, ...] = ()
    specs: tuple[ComponentSpec, ...] = ()
    commands: tuple[CommandSpec, ...] = ()

    def fail(self, reason: str, trace: str = "") -> None:
        self.status, self.error, self.trace = "failed", reason, trace
        self.kinds, self.specs, self.commands = (), (), ()

    @contextlib.contextmanager
    def attempt(self, doing: str) -> Iterator[None]:
        """Isolate one phase: record its failure, its time and the heavy modules it imported."""
        absent = [name for name in HEAVY_MODULES if name not in sys.modules]
        start = time.perf_counter()
        try:
            # stdout belongs to the command, which may have to write exactly one JSON document to it.
            with contextlib.redirect_stdout(sys.stderr):
                yield
        except PluginError as error:
            self.fail(error.message)
        except SystemExit as error:
            self.fail(f"{doing} called sys.exit({error.code!r})", traceback.format_exc())
        except BaseException as error:
            if asks_to_stop(error):
                raise
            self.fail(f"{doing} raised {described(error)}", traceback.format_exc())
        self.seconds += time.perf_counter() - start
        self.heavy += tuple(name for name in absent if name in sys.modules)

    def call(self, hook: str, expected: type) -> tuple[Any, ...]:
        """Return what the plugin's implementation of a hook yields.

        Raises:
            PluginError: something else than an iterable of `expected`.
        """
        assert self.manager is not None
        items: list[Any] = []
        for implementation in getattr(self.manager.hook, hook).get_hookimpls():
            result = implementation.function()
            if not isinstance(result, Iterable):
                raise PluginError(f"{hook} returned {result!r}; it must yield {expected.__name__} objects")
            for item in result:
                if not isinstance(item, expected):
                    raise PluginError(f"{hook} yielded {item!r}, which is no {expected.__name__}")
                items.append(item)
        return tuple(items)

    def component(self, spec: ComponentSpec) -> Component:
        return Component(spec, self.source.plugin, self.source.distribution, self.source.version)

    def command(self, spec: CommandSpec) -> Command:
        return Command(spec, self.source.plugin, self.source.distribution, self.source.version)

    @property
    def hooks(self) -> tuple[str, ...]:
        """Names of the hooks it implements."""
        if self.manager is None:
            return ()
        return tuple(hook for hook in HOOKS if getattr(self.manager.hook, hook).get_hookimpls())

    @property
    def file(self) -> str:
        """File that was imported."""
        module = self.manager.get_plugin(self.source.plugin) if self.manager is not None else None
        return str(getattr(module, "__file__", None) or "")

    def record(self) -> PluginRecord:
        return PluginRecord(
            plugin=self.source.plugin,
            distribution=self.source.distribution,
            version=self.source.version,
            status=self.status,
            components=tuple(f"{spec.kind}/{spec.name}" for spec in self.specs),
            kinds=tuple(kind.name for kind in self.kinds),
            commands=tuple(command.name for command in self.commands),
            import_ms=round(self.seconds * 1000, 3),
            error=self.error,
            heavy=self.heavy,
            location=self.source.location,
            editable=self.source.editable,
            others=tuple(map(str, self.source.others)),
            hooks=self.hooks,
            file=self.file,
            traceback=self.trace,
        )


def index_plugins(
    sources: Iterable[Source], *, disabled: Collection[str] = (), only: Collection[str] | None = None
) -> Index:
    """Load plugins in the given order and return their index; see `esper_core.registry.loading.load_index`."""
    candidates = [_Candidate(source) for source in sources]
    off = {normalise_name(name) for name in disabled}
    on = None if only is None else {normalise_name(name) for name in only}
    owners: dict[str, Source] = {}
    for candidate in candidates:
        source = candidate.source
        if not source.is_core and (source.ids & off or (on is not None and not source.ids & on)):
            candidate.status = "disabled"
            continue
        owner = owners.setdefault(normalise_name(source.plugin), source)
        if owner is not source:
            candidate.fail(f"the plugin id '{source.plugin}' is already taken by {owner.distribution} {owner.version}")
            continue
        with candidate.attempt("importing it"):
            candidate.manager = _register(source)
        if candidate.status == "ok":
            with candidate.attempt("esper_kinds"):
                candidate.kinds = _checked_kinds(candidate.call("esper_kinds", KindSpec))
    contested = _settle_kinds(candidates)
    taken: dict[tuple[str, str, str], str] = {}
    for candidate in candidates:
        if candidate.status == "ok":
            with candidate.attempt("esper_components"):
                candidate.specs = _checked_specs(candidate, candidate.call("esper_components", ComponentSpec), taken)
    named: dict[str, Source] = {}
    for candidate in candidates:
        if candidate.status == "ok":
            with candidate.attempt("esper_commands"):
                candidate.commands = _checked_commands(candidate, candidate.call("esper_commands", CommandSpec), named)
    return _assemble(candidates, contested)


def _register(source: Source) -> pluggy.PluginManager:
    """Import a plugin and return a manager that knows its hooks; raises PluginError for hooks that are not ours."""
    module = source.load()
    for name, function in inspect.getmembers(module, inspect.isroutine):
        options = getattr(function, f"{hookspecs.PROJECT}_impl", None)
        if not isinstance(options, Mapping):
            if name in HOOKS:
                raise PluginError(f"{name} lacks its @hookimpl decorator")
            continue
        hook = options.get("specname") or name
        if hook not in HOOKS:
            known = f" Hooks are {', '.join(HOOKS)}."
            raise PluginError(f"there is no hook '{hook}'.{did_you_mean(hook, HOOKS) or known}")
        if options.get("wrapper") or options.get("hookwrapper"):
            raise PluginError(f"{name} is a hook wrapper; hooks here are plain functions")
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(module, name=source.plugin)
    if not any(getattr(manager.hook, hook).get_hookimpls() for hook in HOOKS):
        raise PluginError(f"it implements no hook; a plugin has {' or '.join(HOOKS)}, marked with @hookimpl")
    return manager


def _checked_kinds(kinds: tuple[KindSpec, ...]) -> tuple[KindSpec, ...]:
    names = [kind.name for kind in kinds]
    for name in names:
        if names.count(name) > 1:
            raise PluginError(f"it declares the kind '{name}' twice")
        if name in RESERVED_KINDS:
            raise PluginError(f"the word '{name}' is reserved and cannot name a kind")
    return kinds


def _settle_kinds(candidates: list[_Candidate]) -> dict[str, str]:
    """Fail every plugin that declares a kind another one declares too; return the kinds lost and why.

    A kind of core's own plugin stays: one careless plugin must not take the whole installation down.
    """
    declared: defaultdict[str, list[_Candidate]] = defaultdict(list)
    for candidate in candidates:
        for spec in candidate.kinds:
            declared[spec.name].append(candidate)
    contested: dict[str, str] = {}
    for kind, claimants in declared.items():
        if len(claimants) == 1:
            continue
        both = " and ".join(f"{c.source.plugin} ({c.source.distribution} {c.source.version})" for c in claimants)
        reason = f"the kind '{kind}' is declared by {both}"
        if not any(c.source.is_core for c in claimants):
            contested[kind] = reason
        for claimant in claimants:
            if not claimant.source.is_core:
                claimant.fail(reason)
    return contested


def _checked_specs(
    candidate: _Candidate, specs: tuple[ComponentSpec, ...], taken: dict[tuple[str, str, str], str]
) -> tuple[ComponentSpec, ...]:
    """Return the specs after noting their names; the same name from another distribution is no error here."""
    seen: set[tuple[str, str, str]] = set()
    for spec in specs:
        _check_spec(spec)
        key = (candidate.source.distribution, spec.kind, spec.name)
        if key in seen:
            raise PluginError(f"it registers {spec.kind} '{spec.name}' twice")
        if key in taken:
            raise PluginError(
                f"{spec.kind} '{spec.name}' is already registered by plugin '{taken[key]}' of the same distribution"
            )
        seen.add(key)
    taken.update(dict.fromkeys(seen, candidate.source.plugin))
    return specs


def _checked_commands(
    candidate: _Candidate, commands: tuple[CommandSpec, ...], named: dict[str, Source]
) -> tuple[CommandSpec, ...]:
    """Return the commands after noting their names."""
    mine: dict[str, Source] = {}
    for command in commands:
        if command.name in mine:
            raise PluginError(f"it registers the command '{command.name}' twice")
        if command.name in named:
            owner = named[command.name]
            raise PluginError(
                f"the command '{command.name}' is already taken by {owner.plugin} "
                f"({owner.distribution} {owner.version})"
            )
        mine[command.name] = candidate.source
    named.update(mine)
    return commands


def _check_spec(spec: ComponentSpec) -> None:
    label = f"{spec.kind} '{spec.name}'"
    for attribute, meaning in (("defaults", "a kind to a name"), ("known_failures", "a check to a reason")):
        value = getattr(spec, attribute)
        if not isinstance(value, Mapping) or not all(isinstance(text, str) for pair in value.items() for text in pair):
            raise PluginError(f"{label}: {attribute} must map {meaning}, not {value!r}")
    for attribute in ("aliases", "reads", "provides", "requires"):
        values = getattr(spec, attribute)
        if not all(isinstance(value, str) and value for value in values):
            raise PluginError(f"{label}: {attribute} must be a tuple of names, not {values!r}")


def _assemble(candidates: list[_Candidate], contested: Mapping[str, str]) -> Index:
    kinds = {kind.name: kind for candidate in candidates for kind in candidate.kinds}
    records = tuple(candidate.record() for candidate in candidates)
    usable: list[Component] = []
    unavailable: list[Unavailable] = []
    for candidate in candidates:
        for component in map(candidate.component, candidate.specs):
            if component.kind in kinds:
                usable.append(component)
                continue
            reason = (
                contested.get(component.kind)
                or undeclared(component.kind, records)
                or f"no plugin that loaded declares the kind '{component.kind}'.{did_you_mean(component.kind, kinds)}"
            )
            unavailable.append(Unavailable(component, reason))
    commands = tuple(candidate.command(spec) for candidate in candidates for spec in candidate.commands)
    return Index(records, kinds, tuple(usable), tuple(unavailable), commands)


def index_from_specs(
    components: Iterable[ComponentSpec] = (),
    kinds: Iterable[KindSpec] = (),
    *,
    plugin: str = "in-memory",
    distribution: str = "in-memory",
    version: str = "0",
) -> Index:
    """Return the index of one plugin that registers these specs, without any entry point."""
    declared, registered = tuple(kinds), tuple(components)

    @hookimpl
    def esper_kinds() -> Iterable[KindSpec]:
        return declared

    @hookimpl
    def esper_components() -> Iterable[ComponentSpec]:
        return registered

    module = SimpleNamespace(esper_kinds=esper_kinds, esper_components=esper_components)
    return index_from_plugins({plugin: module}, distribution=distribution, version=version)


def index_from_plugins(plugins: Mapping[str, object], *, distribution: str | None = None, version: str = "0") -> Index:
    """Return the index of plugin objects: id → module or any object with hooks.

    Args:
        plugins: The plugins by id, in loading order.
        distribution: Distribution of all of them; None takes each id.
        version: Version of all of them.
    """
    return index_plugins(
        Source(name, distribution or name, version, "", lambda module=module: module)  # type: ignore[misc]
        for name, module in plugins.items()
    )


def load_index(*, disabled: Collection[str] = (), only: Collection[str] | None = None) -> Index:
    """Load the installed plugins and return their index; a plugin that fails is recorded, never raised.

    Args:
        disabled: Plugins that are not imported, by id or distribution.
        only: When given, no other plugins are imported; None reads the environment variable ESPER_PLUGINS
            (`a,b`) and, without one, loads all. Core's own plugin is always loaded, since it declares the kinds.
    """
    only = allow_list() if only is None else only
    return index_plugins(entry_point_sources(), disabled=disabled, only=only)


def allow_list() -> tuple[str, ...] | None:
    """Return what the environment variable ESPER_PLUGINS names; None without one, so that all plugins are loaded."""
    if PLUGINS_VARIABLE not in os.environ:
        return None
    return tuple(name.strip() for name in os.environ[PLUGINS_VARIABLE].split(",") if name.strip())
