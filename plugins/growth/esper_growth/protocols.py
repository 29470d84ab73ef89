"""The protocols of tasks, hosts and blueprints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from attrs import frozen

if TYPE_CHECKING:
    from torch import Tensor, nn


@frozen
class Split:
    """Samples `inputs [S, C, *spatial]` and class indices `targets [S]` (int64)."""

    inputs: Tensor
    targets: Tensor


@frozen
class Change:
    """From an epoch on, counted from 0, a host trains and is measured on another task."""

    epoch: int
    task: Task


def changes_of(task: Task) -> Sequence[Change]:
    """Return how a task changes while a host trains; most never do."""
    changes: Sequence[Change] = getattr(task, "changes", ())
    return changes


def last_change_of(task: Task) -> int:
    """Return the last epoch at which a task, or one of a family, becomes another; 0 where none does."""
    own = max((change.epoch for change in changes_of(task)), default=0)
    return max(own, getattr(task, "last_change", 0))


def on(blueprint: Blueprint, topology: str) -> Blueprint:
    """Return the blueprint for hosts of a topology: itself, or what its method `on` returns."""
    special: Blueprint = blueprint.on(topology) if hasattr(blueprint, "on") else blueprint
    return special


def fits(part: Host | Blueprint, topology: str, axes: tuple[int, ...]) -> bool:
    """Return whether a host or blueprint of a topology takes samples of all these numbers of axes of space."""
    return set(axes) <= set(getattr(part, "axes", (2,)) if topology == "image" else (1,))


def label_of(task: Task) -> str:
    """Return what episodes of a task are told apart by: what it says, or its name."""
    return getattr(task, "label", "") or task.name


def axes_of(task: Task) -> tuple[int, ...]:
    """Return how many axes of space samples may have: of a family any of several numbers."""
    return getattr(task, "axes", (task.train.inputs.dim() - 2,))


@runtime_checkable
class Task(Protocol):
    """Kind `task`. Reward and observation see `validation` only; `test` is read once, after training.

    Attributes:
        name: Identity of the data; part of the key under which static curves are kept.
        classes: Number of classes.
        train, validation, test: Disjoint splits.

    Its optional attribute `label: str` is what episodes are told apart by (`esper evaluate --by task`); without it its
    name is. Tasks of a family that differ by what is drawn for an instance alone share it.

    A family of tasks also has a method `draw(instance: int) -> Task`: the task of an instance, always the same, with
    as many classes as the family. Its own splits are those of instance 0. Where its tasks' samples have various
    numbers of axes, its attribute `axes` has them all.

    A task that changes while a host trains has an attribute `changes: Sequence[Change]`, what it becomes, in order of
    epochs, which are above 0. Number of classes, shape of a sample and sizes of the splits stay; no sample is in two
    splits, before or after. A host is measured on the splits of the epoch that it was last trained in, the test split
    included. No policy is told when a task changes, so a family's instances must not all change at once; its attribute
    `last_change: int` is the last epoch at which one may.
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

    A family of hosts also has a method `draw(instance: int) -> Host`: the architecture of an instance, always the
    same, of the family's topology and axes. What it builds itself is that of instance 0.
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

    One that is something else on each topology has a method `on(topology: str) -> Blueprint`.
    """

    topologies: tuple[str, ...]

    def build(self, channels: int, spatial: tuple[int, ...]) -> nn.Module:
        """Return a module from `[B, channels, *spatial]` to the same shape.

        Every parameter receives a gradient within two optimiser steps.
        """
        ...
