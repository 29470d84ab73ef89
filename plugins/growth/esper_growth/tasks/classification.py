"""A classification task whose splits lie in memory."""

from __future__ import annotations

from attrs import field, frozen

from esper_growth.protocols import Split


@frozen
class ClassificationTask:
    """Kind `task`, fields as in the protocol."""

    name: str
    classes: int
    train: Split
    validation: Split
    test: Split
    label: str = field(default="", kw_only=True)
