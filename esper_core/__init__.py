"""esper: trains policies whose components are plugins, chosen by name. What plugins import is exported here."""

from esper_core.contracts.actions import ActionSpec, Head
from esper_core.contracts.commands import CommandSpec
from esper_core.contracts.components import ComponentSpec, KindSpec
from esper_core.contracts.features import Feature, FeatureSchema, IndexField
from esper_core.contracts.options import option
from esper_core.contracts.slots import SlotConfig
from esper_core.contracts.state import EnvironmentDescription, Outcome, SlotWords, StateField, StateSpec
from esper_core.registry.hookspecs import hookimpl

__all__ = [
    "ActionSpec",
    "CommandSpec",
    "ComponentSpec",
    "EnvironmentDescription",
    "Feature",
    "FeatureSchema",
    "Head",
    "IndexField",
    "KindSpec",
    "Outcome",
    "SlotConfig",
    "SlotWords",
    "StateField",
    "StateSpec",
    "hookimpl",
    "option",
]
