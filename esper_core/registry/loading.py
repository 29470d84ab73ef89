"""Loading plugins: each by itself, kinds before components, all or nothing per plugin."""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping
from functools import partial
from typing import TypeVar

import pluggy
from attrs import define

from esper_core.contracts.commands import CommandSpec
from esper_core.contracts.components import ComponentSpec, KindSpec, normalise_name
from esper_core.contracts.errors import PluginError, did_you_mean
from esper_core.contracts.foreign import asks_to_stop, described
from esper_core.registry import hookspecs
from esper_core.registry.discovery import Source, entry_point_sources
from esper_core.registry.first_party import undeclared
from esper_core.registry.index import Command, Component, Index, PluginRecord, Status, Unavailable
from esper_core.registry.reserved import RESERVED_KINDS

HEAVY_MODULES = ("torch", "numpy", "gymnasium", "sklearn")
"""Modules whose import makes every command slow; only factories may import them."""

PLUGINS_VARIABLE = "ESPER_PLUGINS"

HOOKS = ("esper_kinds", "esper_components", "esper_commands")

Spec = TypeVar("Spec", KindSpec, ComponentSpec, CommandSpec)

_Taken = dict[Hashable, str]
"""Names, and who has them."""


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

    def read(self, hook: str, expected: type[Spec], check: Callable[[list[Spec]], None]) -> tuple[Spec, ...]:
        """Return what the plugin's implementation of a hook yields; nothing where it fails or `check` refuses it."""
        if self.status != "ok" or self.manager is None:
            return ()
        items: list[Spec] = []
        with self.attempt(hook):
            for implementation in getattr(self.manager.hook, hook).get_hookimpls():
                result = implementation.function()
                if not isinstance(result, Iterable):
                    raise PluginError(f"{hook} returned {result!r}; it must yield {expected.__name__} objects")
                for item in result:
                    if not isinstance(item, expected):
                        raise PluginError(f"{hook} yielded {item!r}, which is not a {expected.__name__}")
                    items.append(item)
            check(items)
        return tuple(items) if self.status == "ok" else ()

    def record(self) -> PluginRecord:
        source, manager = self.source, self.manager
        module = manager.get_plugin(source.plugin) if manager is not None else None
        return PluginRecord(
            **{name: getattr(source, name) for name in ("plugin", "distribution", "version", "location", "editable")},
            status=self.status,
            components=tuple(f"{spec.kind}/{spec.name}" for spec in self.specs),
            kinds=tuple(kind.name for kind in self.kinds),
            commands=tuple(command.name for command in self.commands),
            import_ms=round(self.seconds * 1000, 3),
            error=self.error,
            heavy=self.heavy,
            others=tuple(map(str, source.others)),
            hooks=() if manager is None else tuple(h for h in HOOKS if getattr(manager.hook, h).get_hookimpls()),
            file=str(getattr(module, "__file__", None) or ""),
            traceback=self.trace,
        )


def index_plugins(
    sources: Iterable[Source], *, disabled: Collection[str] = (), only: Collection[str] | None = None
) -> Index:
    """Load plugins in the given order and return their index; see `load_index`."""
    candidates = [_Candidate(source) for source in sources]
    off = {normalise_name(name) for name in disabled}
    on = None if only is None else {normalise_name(name) for name in only}
    ids: _Taken = {}
    for candidate in candidates:
        source = candidate.source
        if not source.is_core and (source.ids & off or (on is not None and not source.ids & on)):
            candidate.status = "disabled"
            continue
        with candidate.attempt("importing it"):
            _take(ids, source.origin, [(normalise_name(source.plugin), f"the plugin id '{source.plugin}'")])
            candidate.manager = _register(source)
        candidate.kinds = candidate.read("esper_kinds", KindSpec, _check_kinds)
    contested = _settle_kinds(candidates)
    taken: _Taken = {}
    for candidate in candidates:
        check = partial(_check_components, taken, candidate.source)
        candidate.specs = candidate.read("esper_components", ComponentSpec, check)
    for candidate in candidates:
        check_commands = partial(_check_commands, taken, candidate.source)
        candidate.commands = candidate.read("esper_commands", CommandSpec, check_commands)
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
            near = did_you_mean(hook, HOOKS) or f" Hooks are {', '.join(HOOKS)}."
            raise PluginError(f"there is no hook '{hook}'.{near}")
        if options.get("wrapper") or options.get("hookwrapper"):
            raise PluginError(f"{name} is a hook wrapper; hooks here are plain functions")
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(module, name=source.plugin)
    if not any(getattr(manager.hook, hook).get_hookimpls() for hook in HOOKS):
        raise PluginError(f"it implements no hook; a plugin has {' or '.join(HOOKS)}, marked with @hookimpl")
    return manager


def _take(taken: _Taken, who: str, wanted: Iterable[tuple[Hashable, str]]) -> None:
    """Note names, each with what to call it, as those of a plugin: all or none.

    Raises:
        PluginError: one is taken already, or stands there twice.
    """
    mine: _Taken = {}
    for key, label in wanted:
        if key in mine:
            raise PluginError(f"it registers {label} twice")
        if key in taken:
            raise PluginError(f"{label} is already taken by {taken[key]}")
        mine[key] = who
    taken.update(mine)


def _check_kinds(kinds: list[KindSpec]) -> None:
    _take({}, "", ((kind.name, f"the kind '{kind.name}'") for kind in kinds))
    for kind in kinds:
        if kind.name in RESERVED_KINDS:
            raise PluginError(f"the word '{kind.name}' is reserved and cannot name a kind")


def _check_components(taken: _Taken, source: Source, specs: list[ComponentSpec]) -> None:
    for spec in specs:
        label = f"{spec.kind} '{spec.name}'"
        for attribute, meaning in (("defaults", "a kind to a name"), ("known_failures", "a check to a reason")):
            value = getattr(spec, attribute)
            if not isinstance(value, Mapping) or not all(isinstance(text, str) for text in (*value, *value.values())):
                raise PluginError(f"{label}: {attribute} must map {meaning}, not {value!r}")
        for attribute in ("aliases", "reads", "provides", "requires"):
            values = getattr(spec, attribute)
            if not all(isinstance(value, str) and value for value in values):
                raise PluginError(f"{label}: {attribute} must be a tuple of names, not {values!r}")
    # The same name from another distribution is no error here.
    _take(taken, str(source), (((source.distribution, s.kind, s.name), f"{s.kind} '{s.name}'") for s in specs))


def _check_commands(taken: _Taken, source: Source, commands: list[CommandSpec]) -> None:
    _take(taken, str(source), ((command.name, f"the command '{command.name}'") for command in commands))


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
        reason = f"the kind '{kind}' is declared by {' and '.join(str(c.source) for c in claimants)}"
        losers = [claimant for claimant in claimants if not claimant.source.is_core]
        for claimant in losers:
            claimant.fail(reason)
        if losers == claimants:
            contested[kind] = reason
    return contested


def _assemble(candidates: list[_Candidate], contested: Mapping[str, str]) -> Index:
    kinds = {kind.name: kind for candidate in candidates for kind in candidate.kinds}
    records = tuple(candidate.record() for candidate in candidates)
    usable: list[Component] = []
    unavailable: list[Unavailable] = []
    commands: list[Command] = []
    for candidate in candidates:
        origin = (candidate.source.plugin, candidate.source.distribution, candidate.source.version)
        commands += [Command(spec, *origin) for spec in candidate.commands]
        for component in [Component(spec, *origin) for spec in candidate.specs]:
            if component.kind in kinds:
                usable.append(component)
                continue
            reason = (
                contested.get(component.kind)
                or undeclared(component.kind, records)
                or f"no plugin that loaded declares the kind '{component.kind}'.{did_you_mean(component.kind, kinds)}"
            )
            unavailable.append(Unavailable(component, reason))
    return Index(records, kinds, tuple(usable), tuple(unavailable), tuple(commands))


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
