"""`esper plugins`: what is installed, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from attrs import asdict

from esper_core.cli import choices, completion
from esper_core.cli.installed import installed_of, load_installed
from esper_core.cli.output import number, paragraph, print_json, print_table, say
from esper_core.composition.config import config_class, describe_options
from esper_core.contracts.errors import EsperError
from esper_core.contracts.plain import to_exact
from esper_core.registry.first_party import by_kind
from esper_core.registry.index import Component, Index, PluginRecord
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
    elif as_json:
        print_json([record_json(record) for record in index.plugins])
    else:
        _list_records(index, installed_of(context).settings.debug)


def _list_records(index: Index, debug: bool) -> None:
    rows = [(r.plugin, r.distribution, r.version, r.status, f"{r.import_ms:.0f} ms", _named(r)) for r in index.plugins]
    print_table(("plugin", "distribution", "version", "status", "loaded in", "brings"), rows)
    for record in index.plugins:
        if record.error:
            say("", f"{record.plugin} ({record.distribution} {record.version}) failed: {record.error}")
            if debug and record.traceback:
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
    rows = [
        {"name": c.name, "distribution": c.distribution, "version": c.version, "summary": c.spec.summary}
        for c in index.of_kind(kind)
    ]
    if as_json:
        print_json(rows)
    elif rows:
        print_table((kind, "distribution", "version", "summary"), [tuple(row.values()) for row in rows])
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
    document = {
        **record_json(record),
        "described": {c.spec.name: c.spec.summary for c in index.commands if c.plugin == record.plugin},
        "details": [_details(c) for c in index.components if index.record(c) == record],
        "unavailable": [
            {"kind": u.component.kind, "name": u.component.name, "reason": u.reason}
            for u in index.unavailable
            if index.record(u.component) == record
        ],
    }
    if as_json:
        print_json(document)
    else:
        _print_plugin(document)


def record_json(record: PluginRecord) -> dict[str, Any]:
    """Return what became of a plugin as JSON-able values."""
    values = asdict(record, filter=lambda entry, _: entry.name not in ("others", "traceback"))
    return {**values, "copies_not_used": record.others}


def _details(component: Component) -> dict[str, Any]:
    options: dict[str, Any] | None = None
    problem: str | None = None
    try:
        rows = describe_options(config_class(component))
        options = {
            row.key: {"default": to_exact(row.default), "help": row.help, "allowed": row.allowed} for row in rows
        }
    except EsperError as error:
        problem = error.message
    return {**asdict(component.spec), "options": options, "problem": problem}


def _print_plugin(plugin: dict[str, Any]) -> None:
    say(f"{plugin['plugin']} ({plugin['distribution']} {plugin['version']}), {plugin['status']}")
    heavy, commands = ", ".join(plugin["heavy"]), plugin["described"].items()
    _print_fields(
        [
            ("lies in", _place(plugin["location"], plugin["editable"])),
            *(("not used", other) for other in plugin["copies_not_used"]),
            ("imported", f"{plugin['file']}, in {plugin['import_ms']:.0f} ms" if plugin["file"] else ""),
            ("failed", plugin["error"]),
            ("heavy", f"it imports {heavy} when it is listed; that slows every command" if heavy else ""),
            ("hooks", ", ".join(plugin["hooks"])),
            ("kinds", ", ".join(plugin["kinds"])),
            *(("command", f"esper {name}{f': {summary}' if summary else ''}") for name, summary in commands),
        ]
    )
    for lost in plugin["unavailable"]:
        say("", f"{lost['kind']} {lost['name']} cannot be used: {lost['reason']}")
    for component in plugin["details"]:
        say("", f"{component['kind']} {component['name']}: {component['summary']}")
        defaults, problem, options = component["defaults"], component["problem"], component["options"]
        _print_fields(
            [
                ("factory", component["factory"]),
                *((label, ", ".join(component[label])) for label in ("aliases", "provides", "requires", "reads")),
                ("defaults", ", ".join(f"{kind} {name}" for kind, name in defaults.items())),
                ("options", f"unknown: {problem}" if problem else f"of {component['config']}" if options else ""),
            ]
        )
        if options:
            rows = [(f"    {key}", number(row["default"]), row["help"]) for key, row in options.items()]
            print_table(("    option", "default", "meaning"), rows)


def _print_fields(fields: Sequence[tuple[str, str | None]]) -> None:
    """Print what is not empty, each under its label."""
    for label, value in fields:
        if value:
            say(f"  {label:10} {value}")


def place(record: PluginRecord) -> str:
    """Return where a plugin lies."""
    return _place(record.location, record.editable)


def _place(location: str | None, editable: bool) -> str:
    return f"{location or 'unknown'}{' (editable)' * editable}"


def _named(record: PluginRecord) -> str:
    names = [*(key.partition("/")[2] for key in record.components), *(f"esper {name}" for name in record.commands)]
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
