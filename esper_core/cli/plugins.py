"""`esper plugins`: what is installed, and what became of it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from esper_core.cli import check, new
from esper_core.cli.output import print_json, print_table
from esper_core.cli.world import Settings, load_world
from esper_core.registry.index import Index, PluginRecord
from esper_core.registry.resolve import check_kind, find_plugin

app = typer.Typer(help="See which plugins are installed, check them, and write new ones.", no_args_is_help=True)
app.command("check")(check.check_plugin)
app.command("new")(new.new_plugin)


@app.command("list")
def list_plugins(
    context: typer.Context,
    kind: Annotated[
        str | None, typer.Option(metavar="KIND", help="List the components of a kind instead, such as workload.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List every installed plugin, also those that failed to load, and why."""
    index, _ = load_world(context)
    if kind is not None:
        _list_kind(index, check_kind(index, kind), as_json)
        return
    if as_json:
        print_json([_summary(record) for record in index.plugins])
        return
    rows = [
        (r.plugin, r.distribution, r.version, r.status, f"{r.import_ms:.0f} ms", _contents(r)) for r in index.plugins
    ]
    print_table(("plugin", "distribution", "version", "status", "loaded in", "components"), rows)
    for record in index.plugins:
        if record.error:
            typer.echo(f"\n{record.plugin} ({record.distribution} {record.version}) failed: {record.error}")
            settings: Settings = context.obj or Settings()
            if settings.debug and record.traceback:
                typer.echo(record.traceback.rstrip())
        if record.heavy:
            typer.echo(
                f"\n{record.plugin} imports {', '.join(record.heavy)} when it is listed; that slows every command."
            )
    for lost in index.unavailable:
        typer.echo(f"\n{lost.component} is unavailable: {lost.reason}")


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
        typer.echo(f"No {kind} is installed.")


@app.command("show")
def show_plugin(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Plugin id or distribution.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show where a plugin comes from and what it brings."""
    index, _ = load_world(context)
    record = find_plugin(index, name)
    components = [c for c in index.components if (c.plugin, c.distribution) == (record.plugin, record.distribution)]
    if as_json:
        details = [
            {
                "kind": c.kind,
                "name": c.name,
                "summary": c.spec.summary,
                "factory": c.spec.factory,
                "defaults": dict(c.spec.defaults),
                "provides": list(c.spec.provides),
                "requires": list(c.spec.requires),
                "reads": list(c.spec.reads),
            }
            for c in components
        ]
        print_json({**_summary(record), "location": record.location, "kinds": list(record.kinds), "details": details})
        return
    typer.echo(f"{record.plugin}: {record.distribution} {record.version}, {record.status}")
    typer.echo(f"from {record.location or 'unknown'}, loaded in {record.import_ms:.0f} ms")
    if record.error:
        typer.echo(f"failed: {record.error}")
    if record.kinds:
        typer.echo(f"declares the kinds {', '.join(record.kinds)}")
    if components:
        typer.echo("")
        print_table(("kind", "name", "summary"), [(c.kind, c.name, c.spec.summary) for c in components])


def _contents(record: PluginRecord) -> str:
    names = [key.partition("/")[2] for key in record.components]
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _summary(record: PluginRecord) -> dict[str, Any]:
    return {
        "plugin": record.plugin,
        "distribution": record.distribution,
        "version": record.version,
        "status": record.status,
        "components": list(record.components),
        "import_ms": record.import_ms,
        "error": record.error,
    }
