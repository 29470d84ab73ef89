"""Looking for everything that is wrong with an installation. Nothing here raises because something is broken."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Literal, TypeVar

from attrs import frozen

from esper_core.composition.recipes import Recipes, find_registry, load_recipes
from esper_core.contracts.errors import EsperError
from esper_core.contracts.foreign import asks_to_stop, described
from esper_core.diagnosis.check import check_recipes
from esper_core.diagnosis.switches import Switches
from esper_core.registry.copies import find_copies
from esper_core.registry.discovery import entry_point_sources
from esper_core.registry.first_party import by_kind, is_optional
from esper_core.registry.index import Index, PluginRecord
from esper_core.registry.loading import PLUGINS_VARIABLE, index_plugins
from esper_core.system.packages import CORE_DISTRIBUTION, advice

Found = TypeVar("Found")

Level = Literal["error", "warning", "note"]
"""An error takes something away, a warning will at another occasion, a note is worth knowing."""

LEVELS: tuple[Level, ...] = ("error", "warning", "note")


@frozen
class Finding:
    """One thing that was found, and what to do about it."""

    level: Level
    message: str
    advice: str = ""


@frozen
class Diagnosis:
    """An installation and what was found, the worst first; what cannot be found out is None or empty."""

    version: str | None
    index: Index
    registry: Path | None
    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        """Nothing is an error."""
        return not any(finding.level == "error" for finding in self.findings)


def diagnose(registry: str | None = None, no_plugin: tuple[str, ...] = (), loaded: Index | None = None) -> Diagnosis:
    """Look at everything; what cannot be looked at is a finding.

    Args:
        registry: The registry file, or None to look for one.
        no_plugin: Plugins that are not loaded.
        loaded: The plugins, where this process has loaded them already: a second time nothing is slow or heavy.
    """
    findings: list[Finding] = []
    looking = partial(_look, findings)
    path = looking("the registry file", lambda: find_registry(registry), None)
    recipes = looking("the registry file", lambda: load_recipes(path), Recipes())
    switches = Switches(no_plugin, recipes)
    load = partial(index_plugins, disabled=switches.disabled, only=switches.only)
    index = loaded or looking("the installed plugins", lambda: load(entry_point_sources()), Index())
    for what, found in (
        ("the core", _core(index)),
        ("the plugins", _plugins(index)),
        ("the distributions", _copies()),
        ("the components", _components(index, recipes)),
        ("the registry file", _registry(recipes, index)),
        ("what is switched off", _switches(switches, index)),
    ):
        # What was found before something goes wrong is kept.
        looking(what, partial(findings.extend, found), None)
    version = looking("esper-core", lambda: metadata.version(CORE_DISTRIBUTION), None)
    findings.sort(key=lambda finding: LEVELS.index(finding.level))
    return Diagnosis(version, index, path, tuple(findings))


def _look(findings: list[Finding], what: str, question: Callable[[], Found], otherwise: Found) -> Found:
    """Return the answer to a question; whatever goes wrong is a finding, and the answer is another."""
    try:
        return question()
    except EsperError as error:
        findings.append(Finding("error", error.message, error.hint))
    except BaseException as error:
        if asks_to_stop(error):
            raise
        message = f"{what[0].upper()}{what[1:]} cannot be examined: {described(error)}"
        findings.append(Finding("error", message, "Reinstall what it names, or report this."))
    return otherwise


def _core(index: Index) -> Iterator[Finding]:
    if not any(r.is_core for r in index.plugins):
        yield Finding(
            "error",
            f"The core's own plugin is not among the entry points of {CORE_DISTRIBUTION}, so no kind is declared.",
            f"Reinstall it: pip install --force-reinstall {CORE_DISTRIBUTION}",
        )


def _plugins(index: Index) -> Iterator[Finding]:
    for record in index.plugins:
        if record.status == "failed":
            yield Finding("error", f"{record} failed to load: {record.error}", _remedy(record))
        if record.heavy:
            yield Finding(
                "warning",
                f"{record} imports {', '.join(record.heavy)} when it is listed, which slows every command.",
                "Its author should import them in the modules of its factories only.",
            )
        here = Path(record.location).resolve()
        if record.file and record.location and not Path(record.file).resolve().is_relative_to(here):
            yield Finding(
                "warning",
                f"{record} is installed in {record.location}, but {record.file} is imported.",
                "PYTHONPATH or the current folder comes first; drop it, or reinstall from the folder you mean.",
            )


def _remedy(record: PluginRecord) -> str:
    without = f"Without it: --no-plugin {record.plugin}, or pip uninstall {record.distribution}."
    if missing := (record.error or "").partition("No module named '")[2].partition("'")[0]:
        return f"It needs the module '{missing}'. {advice(missing, record.distribution)} {without}"
    if record.traceback:
        return f"The traceback: esper --debug plugins list. {without}"
    return without


def _copies() -> Iterator[Finding]:
    for used, *others in filter(lambda copies: len(copies) > 1, find_copies()):
        rest = f"{_all(others)} {'are' if others[1:] else 'is'} not"
        yield Finding(
            "warning",
            f"{used.distribution} is installed more than once: {used} is used, {rest}.",
            f"Keep one: pip uninstall {used.distribution} until none is left, then install it again.",
        )


def _components(index: Index, recipes: Recipes) -> Iterator[Finding]:
    for said, lost in by_kind(index.unavailable):
        optional = is_optional(lost, index)
        yield Finding("note" if optional else "error", said, "" if optional else "Install or repair what declares it.")
    for kind in index.kinds:
        names, aliases = defaultdict(list), defaultdict(list)
        for component in index.of_kind(kind):
            names[component.name].append(component)
            for alias in sorted({*component.aliases}):
                aliases[alias].append(component)
        for name, holders in names.items():
            if len(holders) > 1 and f"{kind}/{name}" not in recipes.pins:
                yield Finding(
                    "warning",
                    f"The {kind} '{name}' is provided by {_all(c.origin for c in holders)}; asking for it is an error.",
                    f'Pin it under [resolve] in registry.toml: "{kind}/{name}" = "…", or write DISTRIBUTION:{name}.',
                )
        for alias, holders in sorted(aliases.items()):
            what = f"of {_all(holders)} means nothing: a {kind} has this name."
            if alias not in names:
                what = f"is shared by {_all(holders)}; asking for it is an error."
            if holders != names.get(alias, holders[:1]):
                yield Finding("warning", f"The alias '{alias}' {what}", "Use the component's own name.")


def _all(things: Iterable[object]) -> str:
    return " and ".join(map(str, things))


def _registry(recipes: Recipes, index: Index) -> Iterator[Finding]:
    for error in check_recipes(recipes, index):
        yield Finding("error", error.message, error.hint)


def _switches(switches: Switches, index: Index) -> Iterator[Finding]:
    for problem in switches.problems(index.plugins):
        yield Finding("warning", problem, "See: esper plugins list")
    if switches.only is not None:
        value = os.environ.get(PLUGINS_VARIABLE, "")
        yield Finding(
            "note", f"{PLUGINS_VARIABLE}='{value}' is set: no other plugin is loaded.", f"unset {PLUGINS_VARIABLE}"
        )
    for record in index.plugins:
        if record.status == "disabled":
            yield Finding("note", f"{record} is switched off: {switches.reason(record)}.")
