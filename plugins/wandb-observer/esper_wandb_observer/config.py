"""Options of the observer `wandb`."""

from __future__ import annotations

from attrs import frozen

from esper_core import option


@frozen
class WandbConfig:
    """Options of `wandb`."""

    project: str = option("esper", help="Project that the run is shown in.")
    entity: str = option("", help="User or team that the project belongs to; empty is the one logged in.")
    group: str = option("", help="Name under which several runs are shown together.")
    tags: tuple[str, ...] = option((), converter=tuple, help="Words that the run can be found by.")
    mode: str = option(
        "online",
        choices=("online", "offline", "disabled"),
        help="online: sent as it happens; offline: kept in the run's folder until `wandb sync`; disabled: nothing.",
    )
