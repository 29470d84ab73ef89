"""`esper plugins`: what is installed, and what became of it."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from attrs import asdict

from esper_core.cli import completion
from esper_core.cli.installed import global_settings, load_installed
from esper_core.cli.output import number, paragraph, print_json, print_table, say
from esper_core.contracts.errors import EsperError
from esper_core.contracts.plain import to_exact
from esper_core.plan.config import config_class, describe_options
from esper_core.registry.first_party import by_kind
from esper_core.registry.index import Component, Index, PluginRecord
from esper_core.registry.resolve import check_kind, find_plugin


def list_plugins(
    context: typer.Context,
    kind: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="List the components of a kind instead, such as workload.",
            autocompletion=completion.kinds,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List every installed plugin, also those that failed to load, and why."""
    index, _ = load_installed(context)
    if kind is not None:
        _list_kind(index, check_kind(index, kind), as_json)
        return
    if as_json:
        print_json([record_json(record) for record in index.plugins])
        return
    rows = [
        (r.plugin, r.distribution, r.version, r.status, f"{r.import_ms:.0f} ms", _contents(r)) for r in index.plugins
    ]
    print_table(("plugin", "distribution", "version", "status", "loaded in", "brings"), rows)
    for record in index.plugins:
        if record.error:
            say("", f"{record.plugin} ({record.distribution} {record.version}) failed: {record.error}")
            if global_settings(context).debug and record.traceback:
                say(*paragraph(record.traceback))
        if record.others:
            say("", _copies(record))
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
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show where a plugin comes from and what it brings."""
    index, _ = load_installed(context)
    document = _document(index, find_plugin(index, name))
    if as_json:
        print_json(document)
    else:
        _print_plugin(document)


def _document(index: Index, record: PluginRecord) -> dict[str, Any]:
    """Return everything about a plugin as JSON-able values."""
    return {
        **record_json(record),
        "described": {c.spec.name: c.spec.summary for c in index.commands if c.plugin == record.plugin},
        "details": [_details(c) for c in index.components if index.record(c) == record],
        "unavailable": [
            {"kind": u.component.kind, "name": u.component.name, "reason": u.reason}
            for u in index.unavailable
            if index.record(u.component) == record
        ],
    }


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
    say(f"  lies in    {plugin['location'] or 'unknown'}{' (editable)' if plugin['editable'] else ''}")
    for other in plugin["copies_not_used"]:
        say(f"  not used   {other}")
    if plugin["file"]:
        say(f"  imported   {plugin['file']}, in {plugin['import_ms']:.0f} ms")
    if plugin["error"]:
        say(f"  failed     {plugin['error']}")
    if plugin["heavy"]:
        say(f"  heavy      it imports {', '.join(plugin['heavy'])} when it is listed; that slows every command")
    if plugin["hooks"]:
        say(f"  hooks      {', '.join(plugin['hooks'])}")
    if plugin["kinds"]:
        say(f"  kinds      {', '.join(plugin['kinds'])}")
    for name, summary in plugin["described"].items():
        say(f"  command    esper {name}{f': {summary}' if summary else ''}")
    for lost in plugin["unavailable"]:
        say("", f"{lost['kind']} {lost['name']} cannot be used: {lost['reason']}")
    for component in plugin["details"]:
        say("", f"{component['kind']} {component['name']}: {component['summary']}")
        say(f"  factory    {component['factory']}")
        for label in ("aliases", "provides", "requires", "reads"):
            if component[label]:
                say(f"  {label:9}  {', '.join(component[label])}")
        if component["defaults"]:
            say(f"  defaults   {', '.join(f'{kind} {name}' for kind, name in component['defaults'].items())}")
        if component["problem"]:
            say(f"  options    unknown: {component['problem']}")
        elif component["options"]:
            say(f"  options    of {component['config']}")
            rows = [(f"    {key}", number(row["default"]), row["help"]) for key, row in component["options"].items()]
            print_table(("    option", "default", "meaning"), rows)


def _copies(record: PluginRecord) -> str:
    rest = " and ".join(record.others)
    used = f"{record.version} in {record.location}"
    return f"{record.distribution} is installed more than once: {used} is used, {rest} not. See: esper plugins doctor"


def _contents(record: PluginRecord) -> str:
    names = [*(key.partition("/")[2] for key in record.components), *(f"esper {name}" for name in record.commands)]
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
