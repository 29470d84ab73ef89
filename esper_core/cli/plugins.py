"""`esper plugins`: what is installed, what became of it, how names resolve, and what is wrong."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from attrs import asdict

from esper_core.cli import choices, completion
from esper_core.cli.document import divert_standard_output
from esper_core.cli.installed import installed_of, load_installed
from esper_core.cli.output import number, paragraph, print_json, print_table, say, table
from esper_core.composition.config import config_class, describe_options
from esper_core.contracts.errors import EsperError
from esper_core.contracts.plain import to_exact
from esper_core.diagnosis.doctor import LEVELS, diagnose
from esper_core.diagnosis.switches import Switches
from esper_core.diagnosis.why import Explanation, explain
from esper_core.registry.first_party import by_kind
from esper_core.registry.index import Component, Index, PluginRecord
from esper_core.registry.references import lacks_module
from esper_core.registry.reserved import COMMAND
from esper_core.registry.resolve import check_kind, find_plugin

OF_KIND = "List the components of a kind instead, such as workload."


def list_plugins(
    context: typer.Context,
    kind: Annotated[str | None, typer.Option(metavar="KIND", help=OF_KIND, autocompletion=completion.kinds)] = None,
    as_json: choices.AsJson = False,
) -> None:
    """List every installed plugin, also those that failed to load, and why."""
    index, _ = load_installed(context)
    if kind is not None:
        _list_kind(index, check_kind(index, kind), as_json)
        return
    if as_json:
        print_json([record_json(record) for record in index.plugins])
        return
    rows = [(r.plugin, r.distribution, r.version, r.status, f"{r.import_ms:.0f} ms", _named(r)) for r in index.plugins]
    print_table(("plugin", "distribution", "version", "status", "loaded in", "brings"), rows)
    for record in index.plugins:
        if record.error:
            say("", f"{record} failed: {record.error}")
            if record.traceback and installed_of(context).settings.debug:
                say(*paragraph(record.traceback))
        if record.others:
            used, rest = f"{record.version} in {record.location}", " and ".join(record.others)
            copies = f"{record.distribution} is installed more than once: {used} is used, {rest} not."
            say("", f"{copies} See: esper plugins doctor")
        if record.heavy:
            say("", f"{record.plugin} imports {', '.join(record.heavy)} when it is listed; that slows every command.")
    for said, _ in by_kind(index.unavailable):
        say("", said)


def _list_kind(index: Index, kind: str, as_json: bool) -> None:
    rows = [(c.name, c.distribution, c.version, c.spec.summary) for c in index.of_kind(kind)]
    columns = ("distribution", "version", "summary")
    if as_json:
        print_json([dict(zip(("name", *columns), row, strict=True)) for row in rows])
    elif rows:
        print_table((kind, *columns), rows)
    else:
        say(f"No {kind} is installed.")


def show_plugin(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Plugin id or distribution.", autocompletion=completion.plugins)
    ],
    as_json: choices.AsJson = False,
) -> None:
    """Show where a plugin comes from and what it brings."""
    index, _ = load_installed(context)
    record = find_plugin(index, name)
    commands = [command for command in index.commands if command.plugin == record.plugin]
    described = {command.name: command.spec.summary for command in commands}
    details = [_details(c) for c in index.components if index.record(c) == record]
    lost = [
        (u.component.kind, u.component.name, u.reason) for u in index.unavailable if index.record(u.component) == record
    ]
    lost += [(COMMAND, c.name, reason) for c in commands if c.spec.app and (reason := lacks_module(c.spec.app))]
    if as_json:
        unavailable = [{"kind": kind, "name": name, "reason": reason} for kind, name, reason in lost]
        more = {"described": described, "details": details, "unavailable": unavailable}
        print_json({**record_json(record), **more})
        return
    say(f"{record}, {record.status}")
    heavy = f"it imports {', '.join(record.heavy)} when it is listed; that slows every command" if record.heavy else ""
    _print_fields(
        ("folder", place(record)),
        *(("not used", other) for other in record.others),
        ("imported", f"{record.file}, in {record.import_ms:.0f} ms" if record.file else ""),
        ("failed", record.error),
        ("heavy", heavy),
        ("hooks", ", ".join(record.hooks)),
        ("kinds", ", ".join(record.kinds)),
        *(("command", f"esper {word}{f': {summary}' if summary else ''}") for word, summary in described.items()),
    )
    for kind, name, reason in lost:
        say("", f"{kind} {name} cannot be used: {reason}")
    for component in details:
        _print_component(component)


def why(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="KIND/NAME", help="Such as network/lstm-v2.")],
    as_json: choices.AsJson = False,
) -> None:
    """Explain what a name means, where it comes from, and what would change that."""
    index, recipes = load_installed(context)
    explanation = explain(index, recipes, Switches(installed_of(context).settings.no_plugin, recipes), name)
    lines = list(_explanation_lines(explanation))
    if explanation.error is not None:
        explanation.error.hint = "\n".join([explanation.error.hint, *lines]).strip()
        raise explanation.error
    if as_json:
        print_json(_explanation_json(explanation))
    else:
        say(f"{explanation.asked} is {explanation.winner}", "", *lines)


def doctor(context: typer.Context, as_json: choices.AsJson = False) -> None:
    """Examine the installation; whatever is broken, this works and says what to do."""
    divert_standard_output()
    installed = installed_of(context)
    index = installed.loaded[0] if installed.loaded else None
    diagnosis = diagnose(installed.settings.registry, installed.settings.no_plugin, index)
    python = {"version": platform.python_version(), "executable": sys.executable, "prefix": sys.prefix}
    if as_json:
        print_json(
            {
                "healthy": diagnosis.healthy,
                "python": python,
                "esper_core": diagnosis.version,
                "registry": str(diagnosis.registry) if diagnosis.registry else None,
                "plugins": [record_json(record) for record in diagnosis.index.plugins],
                "findings": [asdict(finding) for finding in diagnosis.findings],
            }
        )
        return
    say(
        f"esper-core     {diagnosis.version or 'not installed'}",
        f"Python         {python['version']}, {python['executable']}",
        f"sys.prefix     {python['prefix']}",
        f"registry file  {diagnosis.registry or 'none'}",
        "",
    )
    rows = [(r.plugin, r.distribution, r.version, r.status, place(r)) for r in diagnosis.index.plugins]
    print_table(("plugin", "distribution", "version", "status", "folder"), rows)
    for finding in diagnosis.findings:
        say("", f"{finding.level}: {finding.message}", *(f"  {line}" for line in finding.advice.splitlines()))
    counts = {level: sum(finding.level == level for finding in diagnosis.findings) for level in LEVELS}
    said = [f"{count} {level}{'s' * (count > 1)}" for level, count in counts.items() if count]
    say("", ", ".join(said) or "Nothing is wrong.")


def record_json(record: PluginRecord) -> dict[str, Any]:
    """Return what became of a plugin as JSON-able values."""
    values = asdict(record, filter=lambda entry, _: entry.name not in ("others", "traceback"))
    return {**values, "copies_not_used": record.others}


def _details(component: Component) -> dict[str, Any]:
    values = {**asdict(component.spec), "options": None, "problem": None}
    try:
        rows = describe_options(config_class(component))
    except EsperError as error:
        return {**values, "problem": error.message}
    options = {r.key: {"default": to_exact(r.default), "help": r.help, "allowed": r.allowed} for r in rows}
    return {**values, "options": options}


def _print_component(component: dict[str, Any]) -> None:
    say("", f"{component['kind']} {component['name']}: {component['summary']}")
    problem, options = component["problem"], component["options"]
    _print_fields(
        ("factory", component["factory"]),
        *((label, ", ".join(component[label])) for label in ("aliases", "provides", "requires", "reads")),
        ("defaults", ", ".join(f"{kind} {name}" for kind, name in component["defaults"].items())),
        ("options", f"unknown: {problem}" if problem else f"of {component['config']}" if options else ""),
    )
    if options:
        rows = [(f"    {key}", number(row["default"]), row["help"]) for key, row in options.items()]
        print_table(("    option", "default", "meaning"), rows)


def _print_fields(*fields: tuple[str, str | None]) -> None:
    """Print what is not empty, each under its label."""
    say(*(f"  {label:10} {value}" for label, value in fields if value))


def place(record: PluginRecord) -> str:
    """Return the folder that a plugin is imported from."""
    return f"{record.location or 'unknown'}{' (editable)' * record.editable}"


def _named(record: PluginRecord) -> str:
    names = [*(key.partition("/")[2] for key in record.components), *(f"esper {name}" for name in record.commands)]
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _explanation_lines(explanation: Explanation) -> Iterator[str]:
    of = f" of {explanation.distribution}" if explanation.distribution is not None else ""
    yield f"looked up      {explanation.kind} '{explanation.name}'{of}"
    if explanation.pin is not None:
        yield f"pinned to      {explanation.pin}, at {explanation.pinned_at}"
    for record in (candidate.record for candidate in explanation.candidates if candidate.chosen):
        yield f"registered by  plugin {record.plugin} of {record.distribution} {record.version}"
        yield f"folder         {place(record)}"
        yield f"loaded in      {record.import_ms:.0f} ms"
    if explanation.candidates:
        yield ""
        rows = [(f"  {c.component}", c.found_by, c.outcome) for c in explanation.candidates]
        yield from table(("  candidate", "found by", "outcome"), rows)
    for component, reason in explanation.unavailable:
        yield from ("", f"{component} cannot be used: {reason}")
    if explanation.absent:
        yield from ("", "not loaded; may provide it too")
        yield from (f"  {record}: {reason}" for record, reason in explanation.absent)
    if explanation.changes:
        yield from ("", "what would change this", *(f"  {change}" for change in explanation.changes))


def _explanation_json(explanation: Explanation) -> dict[str, Any]:
    def chosen(of: Any, *keys: str) -> dict[str, Any]:
        return {key: getattr(of, key) for key in keys}

    ids = ("kind", "name", "plugin", "distribution", "version")
    return {
        **chosen(explanation, "asked", "kind", "name", "distribution", "changes"),
        "pin": {"distribution": explanation.pin, "place": explanation.pinned_at} if explanation.pin else None,
        "winner": chosen(explanation.winner, *ids),
        "candidates": [
            {
                **chosen(candidate.component, *ids),
                **chosen(candidate.record, "location", "editable", "import_ms"),
                **chosen(candidate, "found_by", "chosen", "outcome"),
            }
            for candidate in explanation.candidates
        ],
        "unavailable": [{**chosen(c, *ids), "reason": reason} for c, reason in explanation.unavailable],
        "absent": [{**record_json(record), "reason": reason} for record, reason in explanation.absent],
    }
