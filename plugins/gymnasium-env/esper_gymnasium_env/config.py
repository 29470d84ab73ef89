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
    flatten: bool = option(
        True, help="Show images as numbers in a row; false: as they are, for networks such as nature-cnn."
    )
    squash: bool = option(
        True,
        help="Numbers of a Box action are squashed into its bounds; false: cut off at them, and there need be none.",
    )
    scale_obs: bool = option(True, help="Scale observations by their bounds to −1..1; false: show numbers as they are.")
    normalise_obs: bool = option(
        False, help="Show observations less their running mean, over their deviation, instead of scaled by bounds."
    )
    normalise_reward: bool = option(
        False, help="Learn from rewards over the running deviation of the discounted return; events have them as paid."
    )
    workers: int = option(
        0, low=0, high=1024, help="Processes that play environments side by side; 0 plays all in this one."
    )
