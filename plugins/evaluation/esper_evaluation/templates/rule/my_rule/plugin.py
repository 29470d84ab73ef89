"""Registers the rule `my-rule`. Every command imports this module, so it imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

from esper_core import ComponentSpec, hookimpl


@hookimpl
def esper_components() -> Iterator[ComponentSpec]:
    """Register the rule."""
    yield ComponentSpec(
        kind="rule",
        name="my-rule",
        factory="my_rule.rule:MyRule",
        config="my_rule.config:MyRuleConfig",
        summary="something legal at random every few steps, else nothing",
    )
