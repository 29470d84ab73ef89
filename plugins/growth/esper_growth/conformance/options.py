"""A component with other options than its default ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import fields

from esper_core.composition.config import structure_config
from esper_core.contracts.errors import EsperError
from esper_core.registry.references import load_reference
from esper_testing.conformance.subject import Subject


def with_other_options(subject: Subject) -> Iterator[tuple[str, Any]]:
    """Yield the component with one option changed: `key=value` and what is built; values it refuses are left out.

    Options that are no number, switch or choice, such as a path, keep their default.
    """
    component = subject.component
    factory = load_reference(component.spec.factory, str(component), component.distribution)
    default = subject.config()
    for entry in fields(type(default)):
        for value in _others(getattr(default, entry.name), entry.metadata.get("choices")):
            try:
                yield (
                    f"{entry.name}={value}",
                    factory(structure_config(component, {**subject.example(), entry.name: value}), subject.context()),
                )
            except (EsperError, ValueError):
                continue


def _others(value: Any, choices: tuple[Any, ...] | None) -> list[Any]:
    """Return values near the default."""
    if choices:
        others = list(choices)
    elif isinstance(value, bool):
        others = [not value]
    elif isinstance(value, int):
        others = [value + 1, value - 1, value * 2, max(1, value // 2)]
    elif isinstance(value, float):
        others = [value * 0.5 + 0.125]
    else:
        others = []
    return [other for other in others if other != value]
