"""The action space as one table of categorical heads.

An environment supplies one `ActionSpec`. Causal relevance, neutral values, buffer columns and telemetry names are
all derived from it.
"""

from __future__ import annotations

import hashlib
import json

from attrs import asdict, field, frozen

from esper_core.contracts.tuples import as_tuple


@frozen
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
    ops: tuple[str, ...] | None = None
    entropy_weight: float = 1.0

    def __attrs_post_init__(self) -> None:
        if not self.labels:
            raise ValueError(f"head '{self.name}' has no labels")
        if not 0 <= self.neutral < len(self.labels):
            raise ValueError(f"head '{self.name}': neutral index {self.neutral} is outside 0..{len(self.labels) - 1}")

    @property
    def size(self) -> int:
        """Number of categories, k."""
        return len(self.labels)


@frozen
class ActionSpec:
    """An ordered table of heads.

    Attributes:
        heads: The heads in storage order.
        root: Name of the head that is sampled first and decides which others matter (the operation head), or None
            when all heads always matter.
        slot: Name of the head whose legality is given per operation (`Masks.slot_given_op`), or None.
    """

    heads: tuple[Head, ...] = field(converter=as_tuple)
    root: str | None = None
    slot: str | None = None

    def __attrs_post_init__(self) -> None:
        names = self.names
        if len(set(names)) != len(names):
            raise ValueError(f"head names are not unique: {', '.join(names)}")
        for role, name in (("root", self.root), ("slot", self.slot)):
            if name is not None and name not in names:
                raise ValueError(f"{role} head '{name}' is not among {', '.join(names)}")
        if self.slot is not None and self.root is None:
            raise ValueError("a slot head needs a root head that it depends on")
        for head in self.heads:
            if head.ops is not None and self.root is None:
                raise ValueError(f"head '{head.name}' names operations, but there is no root head")
            if unknown := set(head.ops or ()) - set(self.ops):
                raise ValueError(f"head '{head.name}' names unknown operations: {', '.join(sorted(unknown))}")

    @property
    def names(self) -> tuple[str, ...]:
        """Head names in storage order."""
        return tuple(head.name for head in self.heads)

    @property
    def sizes(self) -> dict[str, int]:
        """Categories per head."""
        return {head.name: head.size for head in self.heads}

    @property
    def ops(self) -> tuple[str, ...]:
        """Labels of the root head; empty without one."""
        return self.head(self.root).labels if self.root is not None else ()

    @property
    def children(self) -> tuple[Head, ...]:
        """All heads but the root."""
        return tuple(head for head in self.heads if head.name != self.root)

    def head(self, name: str) -> Head:
        """Return the head called `name`; raises KeyError."""
        if name not in self.names:
            raise KeyError(f"no head '{name}'; heads are {', '.join(self.names)}")
        return self.heads[self.names.index(name)]

    def relevance(self, name: str) -> tuple[bool, ...]:
        """Return, for every operation, whether head `name` matters: one column of the causal table `[ops, heads]`."""
        ops = self.head(name).ops
        return tuple(ops is None or label in ops for label in self.ops)

    @property
    def digest(self) -> str:
        """Short digest of the whole table; two specs with equal digests mean the same actions."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]
