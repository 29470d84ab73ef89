"""Options of the environment."""

from __future__ import annotations

from attrs import Factory, frozen

from esper_core import option


@frozen
class GymnasiumConfig:
    """Options of the environment `gymnasium`."""

    id: str = option("CartPole-v1", help="Which one: an id that Gymnasium or an installed distribution registers.")
    kwargs: dict = option(  # noqa: RUF009
        Factory(dict), help="What it is made with, such as {is_slippery=false}."
    )
    horizon: int = option(
        0, low=0, high=10**9, help="Steps after which an episode is cut off; 0 is the environment's own limit."
    )
    observe: tuple[int, ...] = option(
        (), converter=tuple, help="Entries of the flattened observation that are seen, from 0; none named is all."
    )
