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
from typing import Any, TypeVar

import pluggy
from attrs import define, field

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

HOOKS: Mapping[str, type] = {
    "esper_kinds": KindSpec,
    "esper_components": ComponentSpec,
    "esper_commands": CommandSpec,
}

Spec = TypeVar("Spec")

_Name = tuple[str, str]
"""What must be unique, as messages call it, and within what."""


@define
class _Candidate:
    """A plugin while it is loaded."""

    source: Source
    status: Status = "ok"
    error: str | None = None
    trace: str = ""
    seconds: float = 0.0
    heavy: tuple[str, ...] = ()
    manager: pluggy.PluginManager | None = None
    specs: list[object] = field(factory=list)

    def fail(self, reason: str, trace: str = "") -> None:
        self.status, self.error, self.trace, self.specs = "failed", reason, trace, []

    def specs_of(self, kind: type[Spec]) -> list[Spec]:
        return [spec for spec in self.specs if isinstance(spec, kind)]

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

    def read(self, hook: str, taken: dict[_Name, str]) -> None:
        """Add what the plugin's implementation of a hook yields, and note its names; nothing where it fails."""
        if self.status != "ok" or self.manager is None:
            return
        expected, specs = HOOKS[hook], []
        with self.attempt(hook):
            for implementation in getattr(self.manager.hook, hook).get_hookimpls():
                result = implementation.function()
                if not isinstance(result, Iterable):
                    raise PluginError(f"{hook} returned {result!r}; it must yield {expected.__name__} objects")
                for spec in result:
                    if not isinstance(spec, expected):
                        raise PluginError(f"{hook} yielded {spec!r}, which is not a {expected.__name__}")
                    specs.append(spec)
            _take(taken, str(self.source), [_name(self.source, spec) for spec in specs])
            self.specs += specs

    def record(self) -> PluginRecord:
        source, manager = self.source, self.manager
        module = manager.get_plugin(source.plugin) if manager is not None else None
        return PluginRecord(
            **{name: getattr(source, name) for name in ("plugin", "distribution", "version", "location", "editable")},
            status=self.status,
            components=tuple(f"{spec.kind}/{spec.name}" for spec in self.specs_of(ComponentSpec)),
            kinds=tuple(kind.name for kind in self.specs_of(KindSpec)),
            commands=tuple(command.name for command in self.specs_of(CommandSpec)),
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
    taken: dict[_Name, str] = {}
    for candidate in candidates:
        source = candidate.source
        if not source.is_core and (source.ids & off or (on is not None and not source.ids & on)):
            candidate.status = "disabled"
            continue
        with candidate.attempt("importing it"):
            _take(taken, source.origin, [(f"the plugin id '{normalise_name(source.plugin)}'", "")])
            candidate.manager = _register(source)
        candidate.read("esper_kinds", taken)
    contested = _settle_kinds(candidates)
    for hook in ("esper_components", "esper_commands"):
        for candidate in candidates:
            candidate.read(hook, taken)
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


def _name(source: Source, spec: Any) -> _Name:
    if isinstance(spec, ComponentSpec):
        return f"{spec.kind} '{spec.name}'", source.distribution
    if isinstance(spec, KindSpec):
        # Whose kind it is when two plugins declare one is settled when all have.
        return f"the kind '{spec.name}'", str(source)
    return f"the command '{spec.name}'", ""


def _take(taken: dict[_Name, str], who: str, names: Iterable[_Name]) -> None:
    """Note names as those of a plugin, all or none; raises PluginError for one that is taken or given twice."""
    mine: dict[_Name, str] = {}
    for key in names:
        if key in mine:
            raise PluginError(f"it registers {key[0]} twice")
        if key in taken:
            raise PluginError(f"{key[0]} is already taken by {taken[key]}")
        mine[key] = who
    taken.update(mine)


def _settle_kinds(candidates: list[_Candidate]) -> dict[str, str]:
    """Fail plugins that declare a reserved word or each other's kinds; return the kinds lost and why.

    A kind of core's own plugin stays: one careless plugin must not take the whole installation down.
    """
    declared: defaultdict[str, list[_Candidate]] = defaultdict(list)
    for candidate in candidates:
        for spec in candidate.specs_of(KindSpec):
            declared[spec.name].append(candidate)
    contested: dict[str, str] = {}
    for kind, claimants in declared.items():
        reason = f"the kind '{kind}' is declared by {' and '.join(str(c.source) for c in claimants)}"
        if kind in RESERVED_KINDS:
            reason = f"the word '{kind}' is reserved and cannot name a kind"
        elif len(claimants) == 1:
            continue
        losers = [claimant for claimant in claimants if not claimant.source.is_core]
        for claimant in losers:
            claimant.fail(reason)
        if losers == claimants:
            contested[kind] = reason
    return contested


def _assemble(candidates: list[_Candidate], contested: Mapping[str, str]) -> Index:
    kinds = {kind.name: kind for candidate in candidates for kind in candidate.specs_of(KindSpec)}
    records = tuple(candidate.record() for candidate in candidates)
    origins = [
        (candidate, (r.plugin, r.distribution, r.version)) for candidate, r in zip(candidates, records, strict=True)
    ]
    components = [Component(s, *origin) for candidate, origin in origins for s in candidate.specs_of(ComponentSpec)]
    commands = [Command(s, *origin) for candidate, origin in origins for s in candidate.specs_of(CommandSpec)]

    def reason(kind: str) -> str:
        absent = f"no plugin that loaded declares the kind '{kind}'.{did_you_mean(kind, kinds)}"
        return contested.get(kind) or undeclared(kind, records) or absent

    usable = [component for component in components if component.kind in kinds]
    lost = [Unavailable(component, reason(component.kind)) for component in components if component.kind not in kinds]
    return Index(records, kinds, tuple(usable), tuple(lost), tuple(commands))


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
