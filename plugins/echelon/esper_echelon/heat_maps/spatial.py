"""Where on the map things happen: deaths, damage and movement on a grid that is relative to the size of a map."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

_logger = logging.getLogger(__name__)

Maps = NDArray[np.float32]

EVENT = "spatial"
"""Type of the event in which an environment tells of one match."""

KINDS = {"deaths": "death_locations", "damage": "damage_locations", "movement": "movement_density"}
"""Key of such an event → the map that it is about."""

GRID = 32
"""Cells on each side."""


class SpatialAccumulator:
    """Sums of what happened where: three maps, float32 `[g, g]`, indexed `[gy, gx]`.

    Positions count from a corner of the map, in metres; they may be numbers or arrays, and `world_size` fits them.

    Attributes:
        grid_size: Cells on each side, g.
        death_locations: Deaths, hazards' too.
        damage_locations: Points of damage, where they were taken.
        movement_density: How often somebody was seen there.
    """

    def __init__(self, grid_size: int = GRID) -> None:
        if grid_size < 1:
            raise ValueError(f"grid_size must be at least 1, not {grid_size}")
        self.grid_size = grid_size
        self.death_locations, self.damage_locations, self.movement_density = _zeros(3, grid_size)

    def record_death(self, x: ArrayLike, y: ArrayLike, world_size: ArrayLike) -> None:
        """Count deaths."""
        _add(self.death_locations, (), x, y, 1.0, world_size)

    def record_damage(self, x: ArrayLike, y: ArrayLike, damage: ArrayLike, world_size: ArrayLike) -> None:
        """Add damage that was taken."""
        _add(self.damage_locations, (), x, y, damage, world_size)

    def record_position(self, x: ArrayLike, y: ArrayLike, world_size: ArrayLike) -> None:
        """Count who is there."""
        _add(self.movement_density, (), x, y, 1.0, world_size)

    def record_event(self, event: Mapping[str, Any]) -> None:
        """Add what an event of type `spatial` tells, of a grid of this size.

        Raises:
            ValueError: it is not such an event, or of a larger grid.
        """
        for key, name in KINDS.items():
            rows = np.asarray(event[key], np.float64).reshape(-1, 3)
            cells = rows[:, :2].astype(np.int64)
            if ((cells < 0) | (cells >= self.grid_size)).any():
                raise ValueError(f"an event of type '{EVENT}' has cells outside a grid of {self.grid_size}")
            np.add.at(getattr(self, name), tuple(cells.T), rows[:, 2].astype(np.float32))

    def reset(self) -> None:
        """Forget everything."""
        for name in KINDS.values():
            getattr(self, name)[...] = 0

    def to_arrays(self) -> dict[str, Maps]:
        """Return copies of the maps by name."""
        return {name: getattr(self, name).copy() for name in KINDS.values()}

    def to_images(self) -> dict[str, Any]:
        """Return a `wandb.Image` of every map that is not empty, by name; nothing where wandb or matplotlib is missing.

        Neither is imported before there is something to show.
        """
        shown = {name: values for name, values in self.to_arrays().items() if values.max() > 0}
        if not shown:
            return {}
        try:
            import wandb

            from esper_echelon.heat_maps.pictures import picture
        except ImportError as error:
            _logger.warning("Heat maps are not shown on Weights & Biases: %s is missing.", error.name or error)
            return {}
        return {name: wandb.Image(picture(values, name)) for name, values in shown.items()}


class MatchMaps:
    """The same of M matches that go on side by side, for an environment, which emits an event when one is over.

    Positions count from the centre of the map, in metres, as those of an arena do.
    """

    def __init__(self, matches: int, grid_size: int = GRID) -> None:
        self.death_locations, self.damage_locations, self.movement_density = (_zeros(matches, grid_size) for _ in KINDS)

    def record_positions(self, position: NDArray[np.float64], who: NDArray[np.bool_], size: NDArray[np.int64]) -> None:
        """Count mechs: `position` `[M, A, 2]`, of those where `who` `[M, A]` is true, on maps of `size` `[M]`."""
        match, place = who.nonzero()
        xy = position[match, place]
        self._record(self.movement_density, match, xy[:, 0], xy[:, 1], 1.0, size)

    def record_damage(self, match: ArrayLike, x: ArrayLike, y: ArrayLike, damage: ArrayLike, size: ArrayLike) -> None:
        """Add damage `[R]` that was taken in these matches `[R]`; `size` `[M]`."""
        self._record(self.damage_locations, match, x, y, damage, size)

    def record_deaths(self, match: ArrayLike, x: ArrayLike, y: ArrayLike, size: ArrayLike) -> None:
        """Count deaths in these matches `[R]`; `size` `[M]`."""
        self._record(self.death_locations, match, x, y, 1.0, size)

    def to_event(self, match: int) -> dict[str, Any]:
        """Return the event of a match that is over: its type, and sparse cells `[gy, gx, value]` of every map."""
        return {"type": EVENT, **{key: _brief(getattr(self, name)[match]) for key, name in KINDS.items()}}

    def reset(self, match: int) -> None:
        """Forget a match, since another begins."""
        for name in KINDS.values():
            getattr(self, name)[match] = 0

    def state(self) -> dict[str, Any]:
        """Return what is known of all matches, as JSON can hold it."""
        return {key: [_sparse(one) for one in getattr(self, name)] for key, name in KINDS.items()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on where `state()` was taken."""
        for key, name in KINDS.items():
            values = getattr(self, name)
            values[...] = 0
            for match, cells in enumerate(state[key]):
                for gy, gx, value in cells:
                    values[match, gy, gx] = value

    def _record(self, into: Maps, match: Any, x: Any, y: Any, value: Any, size: Any) -> None:
        match, world = np.asarray(match), np.asarray(size, np.float64)
        world = world[match]
        _add(into, (match,), np.asarray(x) + world / 2, np.asarray(y) + world / 2, value, world)


def images_wanted() -> bool:
    """Return whether a run of Weights & Biases is open in this process; wandb is not imported to find out."""
    return getattr(sys.modules.get("wandb"), "run", None) is not None


def _zeros(count: int, grid_size: int) -> Maps:
    return np.zeros((count, grid_size, grid_size), np.float32)


def _sparse(values: Maps) -> list[list[float]]:
    at: Iterable[list[int]] = np.argwhere(values).tolist()
    return [[gy, gx, float(values[gy, gx])] for gy, gx in at]


def _brief(values: Maps) -> list[list[float]]:
    """Return the same with few digits: runs hold one for every match."""
    return [[gy, gx, int(value) if value == int(value) else round(value, 2)] for gy, gx, value in _sparse(values)]


def _add(into: Maps, leading: tuple[Any, ...], x: Any, y: Any, value: Any, world_size: Any) -> None:
    """Add values to the cells of positions: the last cell takes what is beyond the edge, and NaN is nowhere.

    Raises:
        ValueError: a world has no size.
    """
    x, y, value, world = np.broadcast_arrays(*(np.asarray(part, np.float64) for part in (x, y, value, world_size)))
    if (~(world > 0)).any():
        raise ValueError(f"world_size must be above 0, not {world.min():g}")
    there = np.isfinite(x) & np.isfinite(y)
    grid = into.shape[-1]
    gx, gy = (np.clip(part[there] / world[there] * grid, 0, grid - 1).astype(np.int64) for part in (x, y))
    np.add.at(into, (*(np.broadcast_to(part, there.shape)[there] for part in leading), gy, gx), value[there])
