"""Looking for everything that is wrong with an installation. Nothing here raises because something is broken."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Literal, TypeVar

from attrs import frozen

from esper_core.contracts.components import normalise_name
from esper_core.contracts.errors import EsperError
from esper_core.contracts.foreign import asks_to_stop, described
from esper_core.diagnosis.check import check_recipes
from esper_core.diagnosis.switches import Switches
from esper_core.plan.recipes import Recipes, find_registry, load_recipes
from esper_core.registry.discovery import CORE_DISTRIBUTION, CORE_PLUGIN, duplicates, entry_point_sources
from esper_core.registry.index import Index, PluginRecord
from esper_core.registry.loading import PLUGINS_VARIABLE, index_plugins
from esper_core.system.packages import advice

Found = TypeVar("Found")

Level = Literal["error", "warning", "note"]
"""An error takes something away, a warning will at another occasion, a note is worth knowing."""

LEVELS: tuple[Level, ...] = ("error", "warning", "note")


@frozen
class Finding:
    """One thing that was found.

    Attributes:
        level: How bad it is.
        message: What is the case.
        advice: What to do, or empty.
    """

    level: Level
    message: str
    advice: str = ""


@frozen
class Diagnosis:
    """An installation and what was found.

    Attributes:
        version: Version of esper-core, or None when it is not installed.
        index: What is installed; empty when that cannot be found out.
        registry: The registry file, or None.
        findings: The worst first.
    """

    version: str | None
    index: Index
    registry: Path | None
    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        """Nothing is an error."""
        return not any(finding.level == "error" for finding in self.findings)


def diagnose(registry: str | None = None, no_plugin: tuple[str, ...] = ()) -> Diagnosis:
    """Look at everything; what cannot be looked at is a finding.

    Args:
        registry: The registry file, or None to look for one.
        no_plugin: Plugins that are not loaded.
    """
    ward = _Ward([])
    path = ward.ask("the registry file", lambda: find_registry(registry), None)
    recipes = ward.ask("the registry file", lambda: load_recipes(path), Recipes())
    switches = Switches(no_plugin, recipes)
    index = ward.ask(
        "the installed plugins",
        lambda: index_plugins(entry_point_sources(), disabled=switches.disabled, only=switches.only),
        Index(),
    )
    ward.look("the core", lambda: _core(index))
    ward.look("the plugins", lambda: _plugins(index))
    ward.look("the distributions", _copies)
    ward.look("the components", lambda: _components(index, recipes))
    ward.look("the registry file", lambda: _registry(recipes, index))
    ward.look("what is switched off", lambda: _switches(switches, index))
    version = ward.ask("esper-core", lambda: metadata.version(CORE_DISTRIBUTION), None)
    findings = sorted(ward.findings, key=lambda finding: LEVELS.index(finding.level))
    return Diagnosis(version, index, path, tuple(findings))


@frozen
class _Ward:
    """Collects findings, and makes one of whatever goes wrong while looking."""

    findings: list[Finding]

    def ask(self, what: str, question: Callable[[], Found], otherwise: Found) -> Found:
        try:
            return question()
        except EsperError as error:
            self.findings.append(Finding("error", error.message, error.hint))
        except BaseException as error:
            if asks_to_stop(error):
                raise
            self.findings.append(_unexpected(what, error))
        return otherwise

    def look(self, what: str, examine: Callable[[], Iterable[Finding]]) -> None:
        try:
            # What was found before something goes wrong is kept.
            for finding in examine():
                self.findings.append(finding)
        except BaseException as error:
            if asks_to_stop(error):
                raise
            self.findings.append(_unexpected(what, error))


def _unexpected(what: str, error: BaseException) -> Finding:
    message = f"{what[0].upper()}{what[1:]} cannot be examined: {described(error)}"
    return Finding("error", message, "Reinstall what it names, or report this.")


def _core(index: Index) -> Iterator[Finding]:
    if not any((r.distribution, r.plugin) == (CORE_DISTRIBUTION, CORE_PLUGIN) for r in index.plugins):
        yield Finding(
            "error",
            f"The core's own plugin is not among the entry points of {CORE_DISTRIBUTION}, so no kind is declared.",
            f"Reinstall it: pip install --force-reinstall {CORE_DISTRIBUTION}",
        )


def _plugins(index: Index) -> Iterator[Finding]:
    for record in index.plugins:
        label = f"{record.plugin} ({record.distribution} {record.version})"
        if record.status == "failed":
            yield Finding("error", f"{label} failed to load: {record.error}", _remedy(record))
        if record.heavy:
            yield Finding(
                "warning",
                f"{label} imports {', '.join(record.heavy)} when it is listed, which slows every command.",
                "Its author should import them in the modules of its factories only.",
            )
        if record.file and record.location and not _lies_in(record.file, record.location):
            yield Finding(
                "warning",
                f"{label} is installed in {record.location}, but {record.file} is imported.",
                "PYTHONPATH or the current folder comes first; drop it, or reinstall from the folder you mean.",
            )


def _remedy(record: PluginRecord) -> str:
    without = f"Without it: --no-plugin {record.plugin}, or pip uninstall {record.distribution}."
    missing = (record.error or "").partition("No module named '")[2].partition("'")[0]
    if missing:
        return f"It needs the module '{missing}'. {advice(missing, record.distribution)} {without}"
    if record.traceback:
        return f"The traceback: esper --debug plugins list. {without}"
    return without


def _lies_in(file: str, folder: str) -> bool:
    return Path(file).resolve().is_relative_to(Path(folder).resolve())


def _copies() -> Iterator[Finding]:
    for used, *others in duplicates():
        rest = f"{' and '.join(map(str, others))} {'are' if others[1:] else 'is'} not"
        yield Finding(
            "warning",
            f"{used.distribution} is installed more than once: {used} is used, {rest}.",
            f"Keep one: pip uninstall {used.distribution} until none is left, then install it again.",
        )


def _components(index: Index, recipes: Recipes) -> Iterator[Finding]:
    for lost in index.unavailable:
        yield Finding("error", f"{lost.component} is unavailable: {lost.reason}", "Install or repair what declares it.")
    for kind in index.kinds:
        components = index.of_kind(kind)
        names = {c.name for c in components}
        for name in sorted(names):
            owners = [c.origin for c in components if c.name == name]
            if len(owners) > 1 and f"{kind}/{name}" not in recipes.pins:
                yield Finding(
                    "warning",
                    f"The {kind} '{name}' is provided by {' and '.join(owners)}; asking for it is an error.",
                    f'Pin it under [resolve] in registry.toml: "{kind}/{name}" = "…", or write DISTRIBUTION:{name}.',
                )
        aliases: dict[str, list[str]] = {}
        for component in components:
            for alias in dict.fromkeys(map(normalise_name, component.spec.aliases)):
                aliases.setdefault(alias, []).append(str(component))
        for alias, holders in sorted(aliases.items()):
            if alias in names and holders != [str(c) for c in components if c.name == alias]:
                message = f"The alias '{alias}' of {' and '.join(holders)} means nothing: a {kind} has this name."
                yield Finding("warning", message, "Use the component's own name.")
            elif len(holders) > 1:
                message = f"The alias '{alias}' is shared by {' and '.join(holders)}; asking for it is an error."
                yield Finding("warning", message, "Use the component's own name.")


def _registry(recipes: Recipes, index: Index) -> Iterator[Finding]:
    for error in check_recipes(recipes, index):
        yield Finding("error", error.message, error.hint)


def _switches(switches: Switches, index: Index) -> Iterator[Finding]:
    for problem in switches.problems(index.plugins):
        yield Finding("warning", problem, "See: esper plugins list")
    off = [record for record in index.plugins if record.status == "disabled"]
    if switches.only is not None:
        value = os.environ.get(PLUGINS_VARIABLE, "")
        yield Finding(
            "note", f"{PLUGINS_VARIABLE}='{value}' is set: no other plugin is loaded.", f"unset {PLUGINS_VARIABLE}"
        )
    for record in off:
        yield Finding(
            "note",
            f"{record.plugin} ({record.distribution} {record.version}) is switched off: {switches.reason(record)}.",
        )
