"""The action space as one table of heads: categories and numbers.

An environment supplies one `ActionSpec`. Causal relevance, neutral values, buffer columns and telemetry names are
all derived from it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import cached_property
from typing import Any

from attrs import asdict, converters, field, frozen

from esper_core.contracts.tuples import as_tuple

_LARGEST = (2 - 2**-23) * 2.0**127
"""Largest number that float32 holds; numbers are executed in it."""


@frozen(cache_hash=True)
class Head:
    """One categorical head; `labels` are the meaning of each index.

    Attributes:
        neutral: Index written when the head is irrelevant to the sampled operation.
        ops: Labels of the operations for which the head matters; None means every operation.
        entropy_weight: Factor on the head's entropy bonus.
    """

    name: str
    labels: tuple[str, ...] = field(converter=as_tuple)
    neutral: int = 0
    ops: tuple[str, ...] | None = field(default=None, converter=converters.optional(as_tuple))
    entropy_weight: float = 1.0

    def __attrs_post_init__(self) -> None:
        if not self.labels:
            raise ValueError(f"head '{self.name}' has no labels")
        if not 0 <= self.neutral < len(self.labels):
            raise ValueError(f"head '{self.name}': neutral index {self.neutral} is outside 0..{len(self.labels) - 1}")

    @property
    def size(self) -> int:
        """Logits that a network gives for it: one per category, K."""
        return len(self.labels)


def _as_bounds(bounds: Any) -> tuple[float, ...]:
    return tuple(map(float, bounds)) if isinstance(bounds, Iterable) else (float(bounds),)


@frozen(cache_hash=True)
class ContinuousHead:
    """A head of n numbers, drawn independently from Gaussians; `dims` are the names of the numbers.

    Attributes:
        low, high: Bounds of what the environment gets, one for all numbers or one for each.
        squash: A number u that was drawn becomes low + (tanh u + 1)/2 · (high − low). Otherwise it is cut off at the
            bounds, which may be infinite then.
        ops: Labels of the operations for which the head matters; None means every operation. Where it does not, u is 0.
        entropy_weight: Factor on the head's entropy bonus, nats per number.

    Raises:
        ValueError: it has no numbers, bounds are in the wrong order, or infinite although it is squashed.
    """

    name: str
    dims: tuple[str, ...] = field(converter=as_tuple)
    low: tuple[float, ...] = field(default=(-1.0,), converter=_as_bounds)
    high: tuple[float, ...] = field(default=(1.0,), converter=_as_bounds)
    squash: bool = True
    ops: tuple[str, ...] | None = field(default=None, converter=converters.optional(as_tuple))
    entropy_weight: float = 1.0

    def __attrs_post_init__(self) -> None:
        if not self.dims:
            raise ValueError(f"head '{self.name}' has no numbers")
        for side in ("low", "high"):
            bounds = getattr(self, side)
            if len(bounds) not in (1, len(self.dims)):
                raise ValueError(f"head '{self.name}' has {len(bounds)} bounds '{side}' for {len(self.dims)} numbers")
            object.__setattr__(self, side, bounds * (len(self.dims) // len(bounds)))
        for name, low, high in zip(self.dims, self.low, self.high, strict=True):
            if not low < high:
                raise ValueError(
                    f"head '{self.name}': the bounds of '{name}', {low:g} and {high:g}, have no number between"
                )
            if self.squash and max(-low, high) > _LARGEST:
                raise ValueError(
                    f"head '{self.name}': '{name}' goes from {low:g} to {high:g}; numbers can be squashed only into "
                    "bounds that are finite in float32 (squash=False cuts them off instead)"
                )

    @property
    def size(self) -> int:
        """Numbers that a network gives for it: a mean for each of its n numbers, then the logs of n deviations."""
        return 2 * len(self.dims)


AnyHead = Head | ContinuousHead


@frozen(cache_hash=True)
class ActionSpec:
    """An ordered table of heads.

    Attributes:
        heads: The heads in storage order.
        root: Name of the categorical head that is sampled first and decides which others matter (the operation head),
            or None when all heads always matter.
        slot: Name of the categorical head whose legality is given per operation (`Masks.slot_given_op`), or None.
    """

    heads: tuple[AnyHead, ...] = field(converter=as_tuple)
    root: str | None = None
    slot: str | None = None

    def __attrs_post_init__(self) -> None:
        names = self.names
        if len(set(names)) != len(names):
            raise ValueError(f"head names are not unique: {', '.join(names)}")
        for role, name in (("root", self.root), ("slot", self.slot)):
            if name is not None and name not in names:
                raise ValueError(f"{role} head '{name}' is not among {', '.join(names)}")
            if name is not None and not isinstance(self.head(name), Head):
                raise ValueError(f"{role} head '{name}' consists of numbers; only categories can have that part")
        if self.slot is not None and self.root is None:
            raise ValueError("a slot head needs a root head that it depends on")
        for head in self.heads:
            if head.ops is not None and self.root is None:
                raise ValueError(f"head '{head.name}' names operations, but there is no root head")
            if unknown := set(head.ops or ()) - set(self.ops):
                raise ValueError(f"head '{head.name}' names unknown operations: {', '.join(sorted(unknown))}")

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Head names in storage order."""
        return tuple(head.name for head in self.heads)

    @property
    def sizes(self) -> dict[str, int]:
        """Numbers that a network gives, per head: logits of categories, means and log deviations of numbers."""
        return {head.name: head.size for head in self.heads}

    @property
    def width(self) -> int:
        """Numbers that an action consists of: one for each categorical head, n for a head of n numbers."""
        return len(self.categorical) + sum(len(head.dims) for head in self.continuous)

    @cached_property
    def ops(self) -> tuple[str, ...]:
        """Labels of the root head; empty without one."""
        return self.category(self.root).labels if self.root is not None else ()

    @cached_property
    def children(self) -> tuple[AnyHead, ...]:
        """All heads but the root."""
        return tuple(head for head in self.heads if head.name != self.root)

    @cached_property
    def categorical(self) -> tuple[Head, ...]:
        """The heads that are categories; these alone have masks."""
        return tuple(head for head in self.heads if isinstance(head, Head))

    @cached_property
    def continuous(self) -> tuple[ContinuousHead, ...]:
        """The heads that are numbers."""
        return tuple(head for head in self.heads if isinstance(head, ContinuousHead))

    def head(self, name: str) -> AnyHead:
        """Return the head called `name`; raises KeyError."""
        if name not in self.names:
            raise KeyError(f"no head '{name}'; heads are {', '.join(self.names)}")
        return self.heads[self.names.index(name)]

    def category(self, name: str) -> Head:
        """Return the categorical head called `name`; raises KeyError."""
        head = self.head(name)
        if not isinstance(head, Head):
            raise KeyError(f"head '{name}' consists of numbers, not of categories")
        return head

    def relevance(self, name: str) -> tuple[bool, ...]:
        """Return, for every operation, whether head `name` matters: one column of the causal table `[ops, heads]`."""
        ops = self.head(name).ops
        return tuple(ops is None or label in ops for label in self.ops)

    @cached_property
    def digest(self) -> str:
        """Short digest of the whole table; two specs with equal digests mean the same actions."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]
