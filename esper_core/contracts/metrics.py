"""The meaning of a metric, declared by the component that reports it."""

from __future__ import annotations

from attrs import field, frozen

from esper_core.contracts.tuples import as_tuple


@frozen
class Metric:
    """Some metrics that are explained together.

    Attributes:
        names: Their names; `<head>` stands for each head, `<op>` for each operation, `<part>` for each part of a state.
        meaning: What they measure, with the unit.
        healthy: What is to be expected of them; empty where nothing is.
        advice: What to do when they are not so.
    """

    names: tuple[str, ...] = field(converter=as_tuple)
    meaning: str
    healthy: str = field(default="", kw_only=True)
    advice: str = field(default="", kw_only=True)
