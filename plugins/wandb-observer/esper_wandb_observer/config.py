"""Options of the observer `wandb`."""

from __future__ import annotations

from attrs import frozen

from esper_core import option


@frozen
class WandbConfig:
    """Options of `wandb`."""

    project: str = option("esper", help="Project of the run.")
    entity: str = option("", help="User or team that owns the project; empty is the one logged in.")
    group: str = option("", help="Group under which several runs are shown together.")
    tags: tuple[str, ...] = option((), converter=tuple, help="Tags of the run.")
    mode: str = option(
        "online",
        choices=("online", "offline", "disabled"),
        help="online: sent while training; offline: kept in the run directory until `wandb sync`; disabled: nothing.",
    )
