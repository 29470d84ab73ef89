"""The hooks a plugin may implement. Each is called once, without parameters; no behaviour depends on their order."""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from esper_core.contracts.commands import CommandSpec
from esper_core.contracts.components import ComponentSpec, KindSpec

PROJECT = "esper"
ENTRY_POINT_GROUP = "esper.plugins"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def esper_kinds() -> Iterable[KindSpec]:  # type: ignore[empty-body]
    """Declare kinds of components. All plugins' kinds are known before any plugin's components are read."""


@hookspec
def esper_components() -> Iterable[ComponentSpec]:  # type: ignore[empty-body]
    """Register components, of this plugin's kinds or any other's."""


@hookspec
def esper_commands() -> Iterable[CommandSpec]:  # type: ignore[empty-body]
    """Register commands of `esper`, also into groups that exist, such as `runs compare`."""
