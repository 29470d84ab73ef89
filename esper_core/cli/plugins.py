"""`esper plugins`: what is installed, and what became of it."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from attrs import asdict

from esper_core.cli import choices, completion
from esper_core.cli.installed import installed_of, load_installed
from esper_core.cli.output import number, paragraph, print_json, print_table, say
from esper_core.contracts.errors import EsperError
from esper_core.contracts.plain import to_exact
from esper_core.plan.config import config_class, describe_options
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
    described = {c.name: c.spec.summary for c in index.commands if c.plugin == record.plugin}
    details = [_details(c) for c in index.components if index.record(c) == record]
    lost = [u for u in index.unavailable if index.record(u.component) == record]
    if as_json:
        unavailable = [{"kind": u.component.kind, "name": u.component.name, "reason": u.reason} for u in lost]
        more = {"described": described, "details": details, "unavailable": unavailable}
        print_json({**record_json(record), **more})
        return
    say(f"{record}, {record.status}")
    heavy = f"it imports {', '.join(record.heavy)} when it is listed; that slows every command" if record.heavy else ""
    _print_fields(
        ("lies in", place(record)),
        *(("not used", other) for other in record.others),
        ("imported", f"{record.file}, in {record.import_ms:.0f} ms" if record.file else ""),
        ("failed", record.error),
        ("heavy", heavy),
        ("hooks", ", ".join(record.hooks)),
        ("kinds", ", ".join(record.kinds)),
        *(("command", f"esper {word}{f': {summary}' if summary else ''}") for word, summary in described.items()),
    )
    for one in lost:
        say("", f"{one.component.kind} {one.component.name} cannot be used: {one.reason}")
    for component in details:
        _print_component(component)


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
