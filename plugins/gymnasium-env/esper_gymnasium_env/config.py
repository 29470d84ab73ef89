"""Options of the environment."""

from __future__ import annotations

from attrs import Factory, frozen

from esper_core import option


@frozen
class GymnasiumConfig:
    """Options of the environment `gymnasium`."""

    id: str = option(
        "CartPole-v1", help="Id of the environment, registered by Gymnasium or by an installed distribution."
    )
    kwargs: dict = option(  # noqa: RUF009
        Factory(dict), help="Keyword arguments that it is made with, such as {is_slippery=false}."
    )
    horizon: int = option(
        0, low=0, high=10**9, help="Steps after which an episode is truncated; 0 is the environment's own limit."
    )
    observe: tuple[int, ...] = option(
        (), converter=tuple, help="Entries of the flattened observation to use, counted from 0; none named is all."
    )
