"""What an observation says, in metres: where enemies, friends and the zone are from where a mech stands."""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from esper_echelon.perception.layout import (
    CONTACT,
    CONTACT_MASK_AT,
    CONTACTS_AT,
    DESCRIPTOR,
    DESCRIPTOR_AT,
    EGO,
    EGO_AT,
    MAX_CONTACTS,
)
from esper_echelon.simulation.tables import CHASSIS, LIGHT, MEDIUM, PACK_COMMAND, SQUAD_COMMAND, SUITES

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_CHASSIS_OF = (*range(len(CHASSIS)), LIGHT, MEDIUM)
"""Chassis by suite: those of commands are known from who carries them."""

assert len(_CHASSIS_OF) == len(SUITES) and (PACK_COMMAND, SQUAD_COMMAND) == (4, 5)


@frozen(eq=False)
class Scene:
    """What E mechs see, from where each stands; axes of the world, metres.

    Arithmetic, roots and comparisons alone are applied to it, so that a mech does the same whoever is beside it, and a
    mirrored one the mirrored thing.

    Attributes:
        ego: Name → the mech's own numbers `[E]`, as observed.
        chassis: Positions in CHASSIS, `[E]`.
        heading: `[E, 2]`.
        zone, radius: The way to the middle of the zone `[E, 2]`, and the zone's radius `[E]`.
        way: `[E, C, 2]`, the way to each contact.
        distance: `[E, C]`, its length; infinite where there is no contact.
        hostile, friendly: `[E, C]`.
        radii: Of the bodies of contacts, m, `[E, C]`.
        contact: Name → numbers of the contacts `[E, C]`, as observed.
    """

    ego: dict[str, Floats]
    chassis: NDArray[np.int64]
    heading: Floats
    zone: Floats
    radius: Floats
    way: Floats
    distance: Floats
    hostile: Flags
    friendly: Flags
    radii: Floats
    contact: dict[str, Floats]

    @classmethod
    def of(cls, suite: NDArray[np.float32], map_size: NDArray[np.float32]) -> Scene:
        """Return the scene of observations `[E, 706]` on maps of these sizes `[E]`, m."""
        seen, size = suite.astype(np.float64), map_size.astype(np.float64)
        ego = dict(zip(EGO, seen[:, EGO_AT].T, strict=True))
        rows = seen[:, CONTACTS_AT].reshape(-1, MAX_CONTACTS, len(CONTACT))
        contact = dict(zip(CONTACT, np.moveaxis(rows, -1, 0), strict=True))
        real = seen[:, CONTACT_MASK_AT] == 0
        way = np.where(real[..., None], rows[..., :2] * size[:, None, None], 0.0)
        suites = seen[:, DESCRIPTOR_AT][:, : len(SUITES)]
        assert DESCRIPTOR[0].startswith("suite_")
        return cls(
            ego=ego,
            chassis=np.array(_CHASSIS_OF)[suites.argmax(1)],
            heading=np.stack([ego["cos_yaw"], ego["sin_yaw"]], -1),
            zone=np.stack([ego["zone_x"], ego["zone_y"]], -1) * size[:, None],
            radius=ego["zone_radius"] * size,
            way=way,
            distance=np.where(real, length(way), np.inf),
            hostile=real & (contact["hostile"] > 0.5),
            friendly=real & (contact["friendly"] > 0.5),
            radii=sum((contact[f"is_{known.name}"] * known.width / 2 for known in CHASSIS), np.zeros(real.shape)),
            contact=contact,
        )

    @property
    def acts(self) -> Flags:
        """Who is alive, `[E]`: of others nothing is observed."""
        return self.ego["hp"] > 0

    def nearest(self, among: Flags, cost: Floats | None = None) -> tuple[NDArray[np.int64], Flags]:
        """Return which contact `[E]` among those `[E, C]` is nearest, and whether there is one; `cost` m is added."""
        measure = np.where(among, self.distance + (0.0 if cost is None else cost), np.inf)
        return measure.argmin(1), np.any(among, axis=1)

    def pick(self, values: NDArray[Any], which: NDArray[np.int64]) -> NDArray[Any]:
        """Return one contact's entry `[E, ...]` of `values` `[E, C, ...]` by mech."""
        return values[np.arange(len(which)), which]


def length(vector: Floats) -> Floats:
    """Return lengths `[...]` of vectors `[..., 2]`."""
    return np.sqrt(vector[..., 0] * vector[..., 0] + vector[..., 1] * vector[..., 1])


def unit(vector: Floats) -> Floats:
    """Return vectors `[..., 2]` at length 1, zeros as they are."""
    long = length(vector)[..., None]
    return vector / np.where(long > 0, long, 1.0)


def dot(one: Floats, two: Floats) -> Floats:
    """Return `[...]`: how far one goes along the other."""
    return one[..., 0] * two[..., 0] + one[..., 1] * two[..., 1]


def cross(one: Floats, two: Floats) -> Floats:
    """Return `[...]`: how far two lies to the left of one."""
    return one[..., 0] * two[..., 1] - one[..., 1] * two[..., 0]
