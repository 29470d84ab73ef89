"""Which environments there are: Gymnasium's own, and those that installed distributions register."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING

from esper_core.contracts.errors import EsperError, UserError, did_you_mean
from esper_core.contracts.foreign import guarded

if TYPE_CHECKING:
    from gymnasium.envs.registration import EnvSpec

GROUP = "gymnasium.envs"
"""Entry-point group of distributions that register environments: a module that does so, or a function in one."""


def find(name: str) -> EnvSpec:
    """Return the registered environment of exactly this id.

    Ids also come from checkpoints, so no module is imported for one: Gymnasium would import the module of `module:id`,
    here that is not an id.

    Raises:
        UserError: there is none.
    """
    import gymnasium

    if name in gymnasium.registry:
        return gymnasium.registry[name]
    broken = _register_installed()
    if name in gymnasium.registry:
        return gymnasium.registry[name]
    short = name.rpartition(":")[2]
    meant = f" Did you mean '{short}'?" if short in gymnasium.registry else did_you_mean(short, gymnasium.registry)
    raise UserError(
        f"No Gymnasium environment is registered as '{name}'.{meant}",
        hint=" ".join(
            [
                f"Ids are Gymnasium's own, or registered by an installed distribution's entry point in '{GROUP}'; "
                "no module is imported for being named.",
                *broken,
            ]
        ),
    )


def _register_installed() -> list[str]:
    """Let every installed distribution register its environments; return the messages of those that failed."""
    broken = []
    for point in sorted(metadata.entry_points(group=GROUP)):
        try:
            with guarded(f"The entry point {point.name} = {point.value}", "registering environments"):
                registers = point.load()
                if point.attr:
                    registers()
        except EsperError as error:
            broken.append(error.message)
    return broken
