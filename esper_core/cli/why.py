"""`esper plugins why`: how a name resolves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from esper_core.cli import choices
from esper_core.cli.installed import installed_of, load_installed
from esper_core.cli.output import print_json, say, table
from esper_core.cli.plugins import place, record_json
from esper_core.diagnosis.switches import Switches
from esper_core.diagnosis.why import Explanation, explain
from esper_core.registry.index import Component


def why(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="KIND/NAME", help="Such as network/lstm-v2.")],
    as_json: choices.AsJson = False,
) -> None:
    """Explain what a name means, where it comes from, and what would change that."""
    index, recipes = load_installed(context)
    explanation = explain(index, recipes, Switches(installed_of(context).settings.no_plugin, recipes), name)
    lines = list(_lines(explanation))
    if explanation.error is not None:
        explanation.error.hint = "\n".join([explanation.error.hint, *lines]).strip()
        raise explanation.error
    if as_json:
        print_json(_document(explanation))
    else:
        say(f"{explanation.asked} is {explanation.winner}", "", *lines)


def _lines(explanation: Explanation) -> Iterator[str]:
    of = f" of {explanation.distribution}" if explanation.distribution is not None else ""
    yield f"looked up      {explanation.kind} '{explanation.name}'{of}"
    if explanation.pin is not None:
        yield f"pinned to      {explanation.pin}, at {explanation.pinned_at}"
    if explanation.winner is not None:
        (record,) = [c.record for c in explanation.candidates if c.chosen]
        yield f"registered by  plugin {record.plugin} of {record.distribution} {record.version}"
        yield f"lies in        {place(record)}"
        yield f"loaded in      {record.import_ms:.0f} ms"
    if explanation.candidates:
        yield ""
        rows = [(f"  {c.component}", c.found_by, c.outcome) for c in explanation.candidates]
        yield from table(("  candidate", "found by", "outcome"), rows)
    for component, reason in explanation.unavailable:
        yield from ("", f"{component} cannot be used: {reason}")
    if explanation.absent:
        yield from ("", "not loaded; may provide it too")
        for record, reason in explanation.absent:
            yield f"  {record.plugin} ({record.distribution} {record.version}): {reason}"
    if explanation.changes:
        yield from ("", "what would change this", *(f"  {change}" for change in explanation.changes))


def _document(explanation: Explanation) -> dict[str, Any]:
    assert explanation.winner is not None
    candidates = [
        {
            **_component(c.component),
            **{key: getattr(c.record, key) for key in ("location", "editable", "import_ms")},
            **{key: getattr(c, key) for key in ("found_by", "chosen", "outcome")},
        }
        for c in explanation.candidates
    ]
    return {
        **{key: getattr(explanation, key) for key in ("asked", "kind", "name", "distribution", "changes")},
        "pin": {"distribution": explanation.pin, "place": explanation.pinned_at} if explanation.pin else None,
        "winner": _component(explanation.winner),
        "candidates": candidates,
        "unavailable": [{**_component(c), "reason": reason} for c, reason in explanation.unavailable],
        "absent": [{**record_json(record), "reason": reason} for record, reason in explanation.absent],
    }


def _component(component: Component) -> dict[str, Any]:
    return {key: getattr(component, key) for key in ("kind", "name", "plugin", "distribution", "version")}
