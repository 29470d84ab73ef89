"""What tasks, hosts and blueprints are to the environment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from attrs import frozen

if TYPE_CHECKING:
    from torch import Tensor, nn


@frozen
class Split:
    """Samples `inputs [S, C, *spatial]` and class indices `targets [S]` (int64)."""

    inputs: Tensor
    targets: Tensor


def fits(part: Host | Blueprint, topology: str, axes: int) -> bool:
    """Return whether a host or blueprint of a topology takes samples of so many axes of space."""
    return axes in (getattr(part, "axes", (2,)) if topology == "image" else (1,))


@runtime_checkable
class Task(Protocol):
    """Kind `task`. Reward and observation see `validation` only; `test` is read once, after training.

    Attributes:
        name: Identity of the data; part of the key under which static curves are kept.
        classes: Number of classes.
        train, validation, test: Disjoint splits.
    """

    name: str
    classes: int
    train: Split
    validation: Split
    test: Split


@runtime_checkable
class Host(Protocol):
    """Kind `host`: makes plain modules for one host each.

    Attributes:
        name: Identity of the architecture and its options; part of the key under which static curves are kept.
        topology: 'image' or 'sequence'; blueprints are legal on hosts of their topologies.
        axes: Optional; how many axes of space its images may have, `(2,)` unless it says so. A sequence has one.
    """

    name: str
    topology: str

    def build(self, num_slots: int, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """Return a module with `segments`, a ModuleList of `num_slots + 1` parts.

        The host is the composition of its segments; slot i lies behind segment i. Its input is `[B, *input_shape]`,
        its output logits `[B, classes]`. It has no state beyond its parameters (GroupNorm, never BatchNorm).
        """
        ...


@runtime_checkable
class Blueprint(Protocol):
    """Kind `blueprint`: makes the branch f of `h + alpha·f(h)`. Like tasks and hosts it can be pickled.

    Attributes:
        topologies: Host topologies on which it is legal.
        axes: Optional; on images of how many axes of space it is legal, `(2,)` unless it says so. A sequence has one.
    """

    topologies: tuple[str, ...]

    def build(self, channels: int, spatial: tuple[int, ...]) -> nn.Module:
        """Return a module from `[B, channels, *spatial]` to the same shape.

        Every parameter receives a gradient within two optimiser steps.
        """
        ...
