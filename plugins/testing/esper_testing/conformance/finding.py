"""What is to be checked, by name. Importing this module imports no torch."""

from __future__ import annotations

from collections.abc import Mapping

from esper_core.contracts.errors import PluginError, UnknownComponent, did_you_mean
from esper_core.registry.index import Command, Component, Index
from esper_core.registry.reserved import COMMAND
from esper_core.registry.resolve import find_plugin, resolve


def find_checked(index: Index, name: str, pins: Mapping[str, str] | None = None) -> tuple[Component | Command, ...]:
    """Return what a name means: components and commands of a plugin, or `KIND/NAME`, or `command/NAME`.

    Raises:
        UnknownComponent, AmbiguousComponent: it means nothing, or several components.
        PluginError: the plugin failed to load, or is switched off.
    """
    kind, slash, bare = name.partition("/")
    if slash and kind == COMMAND:
        found = tuple(command for command in index.commands if command.spec.name == bare)
        if not found:
            known = [command.spec.name for command in index.commands]
            raise UnknownComponent(f"There is no command '{bare}'.{did_you_mean(bare, known)}")
        return found
    if slash:
        return (resolve(index, kind, bare, pins),)
    record = find_plugin(index, name)
    if record.status != "ok":
        reason = f"failed to load: {record.error}" if record.status == "failed" else "is switched off"
        raise PluginError(f"The plugin '{record.plugin}' ({record.origin}) {reason}.", hint="See: esper plugins list")
    origin = (record.plugin, record.distribution)
    every: tuple[Component | Command, ...] = (*index.components, *index.commands)
    return tuple(c for c in every if (c.plugin, c.distribution) == origin)
