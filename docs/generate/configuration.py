"""The page of the options: every `-o` key of the trainer and of every component of this repository."""

from __future__ import annotations

import json
from typing import Any

from docs.generate.markdown import NOTE, document, paragraph, table
from esper_core.api.watching import OBSERVER
from esper_core.composition.config import config_class, describe_options, structure_config
from esper_core.composition.fit import TEACHER
from esper_core.composition.plan import describe_environment
from esper_core.composition.selection import TRAIN, TRAIN_CONFIG
from esper_core.contracts.slots import SlotConfig
from esper_core.registry.index import Component, Index
from esper_core.registry.references import load_reference

SPIKE = "spike"


def configuration(index: Index) -> str:
    """Return the page."""
    several = _several(index)
    planned = _planned(index)
    return document(
        "# Options",
        NOTE,
        paragraph(
            "Set an option with `-o KIND.key=VALUE`, or under `[policy.NAME.options]` in registry.toml; the command "
            "line wins. VALUE is a TOML value, and a bare word is a string: `-o network.hidden_dim=256`, `-o "
            'environment.runtime=loop`, `-o \'environment.blueprints=["norm", "attention"]\'`. Where a plan holds '
            "several components of a kind, and for observers, the option names the component: `-o "
            "blueprint.attention.reduction=2`. An option may be a table, `environment.kwargs = {limit = inf}`; its "
            "values are kept exactly, and a date becomes a string. `esper policy show NAME` lists the options of one "
            "policy with their values."
        ),
        "## The trainer",
        _options(f"{TRAIN}.", load_reference(TRAIN_CONFIG, TRAIN)),
        "## Components of a plan",
        *(_section(c, _prefix(c, several)) for c in planned),
        "## Rules",
        paragraph("A rule that teaches is part of a plan: `--use rule=NAME`."),
        *(_section(c, _prefix(c, several)) for c in index.of_kind(TEACHER)),
        "## Observers",
        paragraph(
            "Observers are not part of a plan. Those that watch a run (TensorBoard, and those named by `--observe`) "
            "take their options from the command line."
        ),
        *(_section(c, _prefix(c, several)) for c in index.of_kind(OBSERVER)),
        "## Spikes",
        paragraph("Spikes take theirs from `esper spike run NAME`."),
        *(_section(c, _prefix(c, several)) for c in index.of_kind(SPIKE)),
    )


def option_names(index: Index) -> set[str]:
    """Return the name of every option, as `-o` takes it."""
    several = _several(index)
    names = {f"{TRAIN}.{o.key}" for o in describe_options(load_reference(TRAIN_CONFIG, TRAIN))}
    for component in (*_planned(index), *index.of_kind(TEACHER), *index.of_kind(OBSERVER), *index.of_kind(SPIKE)):
        names |= {_prefix(component, several) + o.key for o in describe_options(config_class(component))}
    return names


def _planned(index: Index) -> list[Component]:
    return [c for kind in index.kinds.values() if kind.planned for c in index.of_kind(kind.name)]


def _prefix(component: Component, several: set[str]) -> str:
    """Return what comes before the key; the name too, where a plan holds several components of the kind."""
    named = component.kind in several or component.kind == OBSERVER
    return f"{component.kind}.{component.name}." if named else f"{component.kind}."


def _section(component: Component, prefix: str) -> str:
    """Return the section of a component; empty for one that has no options."""
    cls = config_class(component)
    if not describe_options(cls):
        return ""
    return document(
        f"### {component.kind} {component.name}",
        f"{component.spec.summary[:1].upper()}{component.spec.summary[1:]} (`{component.distribution}`).",
        _options(prefix, cls),
    ).rstrip()


def _options(prefix: str, cls: type) -> str:
    rows = [(f"`{prefix}{o.key}`", f"`{_shown(o.default)}`", o.allowed, o.help) for o in describe_options(cls)]
    return table(("option", "default", "allowed", "what it does"), rows)


def _shown(value: Any) -> str:
    return "none" if value is None else json.dumps(value, ensure_ascii=False)


def _several(index: Index) -> set[str]:
    """Return the kinds of which an environment uses several components at once."""
    slots = SlotConfig.for_grid(1, 3)
    described = [describe_environment(c, structure_config(c, {}), slots) for c in index.of_kind("environment")]
    return {kind for description in described for kind in description.uses}
