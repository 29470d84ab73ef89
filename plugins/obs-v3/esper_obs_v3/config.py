"""Options of the features `obs-v3` and `obs-slots`."""

from __future__ import annotations

from attrs import frozen

from esper_core import option


@frozen
class ObsV3Config:
    """Options of `obs-v3`. They change what the numbers mean, so they are part of the schema's digest."""

    parameter_budget: int = option(
        500_000, low=1, help="Seed parameters at which `params_utilization` reaches 1; more makes growth look smaller."
    )
    freshness_decay: float = option(
        0.995, low=0.0, high=1.0, help="Factor per epoch on the freshness of interaction measurements; less forgets."
    )
    world: bool = option(
        False,
        help="Also observe what is trained: size and width of the host, size and shape of the data.",
    )


@frozen
class ObsSlotsConfig(ObsV3Config):
    """Options of `obs-slots`: those of `obs-v3`, and one more."""

    position: bool = option(
        True, help="Also observe where a slot is, from 0 for the first to 1 for the last; without, order says nothing."
    )
