"""Runs that distributions bring, to be used by name. Nothing is imported."""

from __future__ import annotations

from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from attrs import field, frozen

from esper_core.contracts.components import normalise_name
from esper_core.contracts.errors import PluginError

RUNS_GROUP = "esper.runs"
"""Group of entry points, such as `pretrained = "esper_pretrained"`: a run is the folder of its name in the package."""


@frozen
class Offer:
    """A run that a distribution brings.

    Attributes:
        name: What it is called on a command line.
    """

    name: str
    distribution: str
    version: str = field(eq=False)
    package: str

    @property
    def origin(self) -> str:
        """Distribution and version, for messages."""
        return f"{self.distribution} {self.version}"

    @property
    def path(self) -> Path:
        """Folder of the run; raises PluginError where its package is not there."""
        spec = find_spec(self.package) if "." not in self.package else None
        if spec is None or not spec.submodule_search_locations:
            raise PluginError(
                f"The run '{self.name}' of {self.origin} is not there: '{self.package}' is no package.",
                hint=f"Install it afresh: pip install --force-reinstall {self.distribution}",
            )
        return Path(spec.submodule_search_locations[0]) / self.name


def offers() -> dict[str, Offer]:
    """Return the runs that installed distributions bring, by name.

    Raises:
        PluginError: two distributions bring runs of one name.
    """
    found: dict[str, Offer] = {}
    for point in entry_points(group=RUNS_GROUP):
        assert point.dist is not None, "entry points of installed distributions know theirs"
        offer = Offer(point.name, normalise_name(point.dist.name), point.dist.version, point.value)
        # An editable installation may be found twice.
        if found.setdefault(offer.name, offer) != offer:
            raise PluginError(
                f"{found[offer.name].origin} and {offer.origin} both bring a run '{offer.name}'.",
                hint="Uninstall one of them.",
            )
    return dict(sorted(found.items()))
