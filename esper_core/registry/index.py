"""What is installed: an immutable index of plugins, kinds and components, passed explicitly."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from attrs import field, frozen

from esper_core.contracts.commands import CommandSpec
from esper_core.contracts.components import ComponentSpec, KindSpec, normalise_name
from esper_core.contracts.foreign import Owner
from esper_core.system.packages import CORE_DISTRIBUTION

CORE_PLUGIN = "core"

Status = Literal["ok", "failed", "disabled"]


class FromPlugin:
    """What comes from a plugin, whose id is `plugin`."""

    __slots__ = ()

    plugin: str
    distribution: str
    version: str

    @property
    def origin(self) -> str:
        """Distribution and version, for messages."""
        return f"{self.distribution} {self.version}"

    @property
    def ids(self) -> frozenset[str]:
        """Names of the plugin: its id and its distribution, normalised."""
        return frozenset({normalise_name(self.plugin), normalise_name(self.distribution)})

    @property
    def is_core(self) -> bool:
        """Whether the plugin is the core's own, which cannot be switched off."""
        return (self.distribution, self.plugin) == (CORE_DISTRIBUTION, CORE_PLUGIN)

    def __str__(self) -> str:
        return f"{self.plugin} ({self.origin})"


@frozen
class Component(FromPlugin):
    """A component's spec together with the plugin it came from."""

    spec: ComponentSpec
    plugin: str
    distribution: str
    version: str

    @property
    def name(self) -> str:
        """Its name."""
        return self.spec.name

    @property
    def kind(self) -> str:
        """Name of the kind."""
        return self.spec.kind

    @property
    def key(self) -> str:
        """`kind/name`."""
        return f"{self.kind}/{self.name}"

    @property
    def qualified(self) -> str:
        """`distribution:name`, which no other distribution's component shares."""
        return f"{self.distribution}:{self.name}"

    @property
    def owner(self) -> Owner:
        """Whose code it is, for messages."""
        return Owner(str(self), self.key)

    @property
    def aliases(self) -> tuple[str, ...]:
        """Its other names, normalised."""
        return tuple(map(normalise_name, self.spec.aliases))

    def is_called(self, name: str, distribution: str | None = None) -> bool:
        """Return whether a normalised name, or an alias, of a distribution or of any means this component."""
        return name in (self.name, *self.aliases) and (distribution is None or distribution in self.ids)

    def __str__(self) -> str:
        return f"{self.kind} '{self.name}' ({self.origin})"


@frozen
class Command(FromPlugin):
    """A command's spec together with the plugin it came from."""

    spec: CommandSpec
    plugin: str
    distribution: str
    version: str

    @property
    def name(self) -> str:
        """What is typed after `esper`."""
        return self.spec.name

    def __str__(self) -> str:
        return f"command '{self.name}' ({self.origin})"


@frozen(kw_only=True)
class PluginRecord(FromPlugin):
    """One entry point, whose name is `plugin`, and the result of loading it.

    Attributes:
        components: What it registered, each `kind/name`.
        import_ms: Milliseconds its import and its hooks took.
        heavy: Heavy modules that loading it imported first.
        location: Folder the distribution is imported from, its source where it is installed in place.
        others: Copies of the distribution that are not used: version and place of each.
        file: File that was imported; empty when that failed.
    """

    plugin: str
    distribution: str
    version: str
    status: Status
    components: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    import_ms: float = 0.0
    error: str | None = None
    heavy: tuple[str, ...] = ()
    location: str = ""
    editable: bool = False
    others: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()
    file: str = ""
    traceback: str = field(default="", repr=False)


@frozen
class Unavailable:
    """A component that cannot be used, and why; the rest of its plugin can."""

    component: Component
    reason: str


def _freeze(kinds: Mapping[str, KindSpec]) -> Mapping[str, KindSpec]:
    return MappingProxyType(dict(kinds))


@frozen
class Index:
    """Everything installed. Failures are data: nothing here raises because a plugin is broken.

    Attributes:
        plugins: One record per entry point, core first, then by distribution and name.
        kinds: Declared kinds by name.
        components: Usable components, in the order of `plugins`.
        unavailable: Components of kinds that nobody declares.
        commands: Commands, in the order of `plugins`; no two have one name.
    """

    plugins: tuple[PluginRecord, ...] = ()
    kinds: Mapping[str, KindSpec] = field(factory=dict, converter=_freeze)
    components: tuple[Component, ...] = ()
    unavailable: tuple[Unavailable, ...] = ()
    commands: tuple[Command, ...] = ()

    def record(self, component: Component) -> PluginRecord:
        """Return the plugin that a component comes from."""
        origin = (component.plugin, component.distribution)
        return next(record for record in self.plugins if (record.plugin, record.distribution) == origin)

    def declarer(self, kind: str) -> str:
        """Return the distribution whose plugin declares a kind."""
        return next((r.distribution for r in self.plugins if kind in r.kinds), CORE_DISTRIBUTION)

    @property
    def failures(self) -> tuple[PluginRecord, ...]:
        """Plugins that failed to load."""
        return tuple(record for record in self.plugins if record.status == "failed")

    def of_kind(self, kind: str) -> tuple[Component, ...]:
        """Return the usable components of a kind, by name."""
        return tuple(sorted((c for c in self.components if c.kind == kind), key=lambda c: (c.name, c.distribution)))

    def names(self, kind: str) -> tuple[str, ...]:
        """Return the names of the usable components of a kind, sorted, each once."""
        return tuple(dict.fromkeys(c.name for c in self.of_kind(kind)))
