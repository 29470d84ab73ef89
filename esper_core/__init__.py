"""esper: trains policies whose components are plugins, chosen by name.

    import esper_core as esper

    plan = esper.plan(policy="lstm-v2", slots=5)
    run = esper.train(plan)
    player = esper.load(run)

Functions are loaded when they are first used, so that importing this module imports no torch. What plugins import is
exported here too.
"""

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from esper_core.contracts.actions import ActionSpec, ContinuousHead, Head
from esper_core.contracts.commands import CommandSpec
from esper_core.contracts.components import ComponentSpec, KindSpec
from esper_core.contracts.errors import EsperError
from esper_core.contracts.features import ArrayField, Feature, FeatureSchema, IndexField
from esper_core.contracts.options import option
from esper_core.contracts.slots import SlotConfig
from esper_core.contracts.state import EnvironmentDescription, Outcome, SlotWords, StateField, StateSpec
from esper_core.registry.hookspecs import hookimpl

if TYPE_CHECKING:
    from esper_core.api.installed import plugins, policies
    from esper_core.api.planning import plan
    from esper_core.api.player import Player, load
    from esper_core.api.training import resume, train
    from esper_core.composition.plan import Plan
    from esper_core.registry.local import component
    from esper_core.runs.directory import RunDirectory as Run

    check: Callable[..., Any]
    evaluate: Callable[..., Any]
    export: Callable[..., Any]
    report: Callable[..., Any]
    spike: Callable[..., Any]

__all__ = [
    "ActionSpec",
    "ArrayField",
    "CommandSpec",
    "ComponentSpec",
    "ContinuousHead",
    "EnvironmentDescription",
    "EsperError",
    "Feature",
    "FeatureSchema",
    "Head",
    "IndexField",
    "KindSpec",
    "Outcome",
    "Plan",
    "Player",
    "Run",
    "SlotConfig",
    "SlotWords",
    "StateField",
    "StateSpec",
    "component",
    "hookimpl",
    "load",
    "option",
    "plan",
    "plugins",
    "policies",
    "resume",
    "train",
]

_LAZY = {
    "Plan": "esper_core.composition.plan:Plan",
    "Player": "esper_core.api.player:Player",
    "Run": "esper_core.runs.directory:RunDirectory",
    "component": "esper_core.registry.local:component",
    "load": "esper_core.api.player:load",
    "plan": "esper_core.api.planning:plan",
    "plugins": "esper_core.api.installed:plugins",
    "policies": "esper_core.api.installed:policies",
    "resume": "esper_core.api.training:resume",
    "train": "esper_core.api.training:train",
}

_BROUGHT = {
    "check": ("esper_testing.api:check", "esper-testing"),
    "evaluate": ("esper_evaluation.evaluating:evaluate", "esper-evaluation"),
    "export": ("esper_evaluation.exporting:export", "esper-evaluation"),
    "report": ("esper_evaluation.reporting:report", "esper-evaluation"),
    "spike": ("esper_testing.api:spike", "esper-testing"),
}
"""Functions that other distributions bring, which may not be installed."""


if not TYPE_CHECKING:  # so that a name that does not exist is an error of types too

    def __getattr__(name: str) -> Any:
        if name in _BROUGHT:
            from esper_core.system.packages import require_distribution

            reference, distribution = _BROUGHT[name]
            require_distribution(distribution, f"esper_core.{name}")
        elif name in _LAZY:
            reference = _LAZY[name]
        else:
            raise AttributeError(f"module 'esper_core' has no attribute '{name}'")
        module, _, attribute = reference.partition(":")
        return globals().setdefault(name, getattr(importlib.import_module(module), attribute))


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_BROUGHT})
