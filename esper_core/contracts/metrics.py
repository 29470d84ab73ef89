"""The meaning of a metric, declared by the component that reports it."""

from __future__ import annotations

from attrs import field, frozen
from attrs.validators import in_

from esper_core.contracts.tuples import as_tuple

SHOWN_EVERYWHERE = 4
"""Last place of the metrics that every line of progress shows."""


@frozen
class Metric:
    """Some metrics that are explained together.

    Attributes:
        names: Their names; `<head>` stands for each head, `<op>` for each operation, `<part>` for each part of a state,
            `<opponent>` for each whom a learner plays against.
        meaning: What they measure, with the unit.
        healthy: What is to be expected of them; empty where nothing is.
        advice: What to do when they are not so.
        label: What they are called where people look at a run; empty is the name.
        short: The same where room is short, as in lines of progress and on curves; empty is the label.
        headline: Place among the metrics that say how a run goes: 1 to 4 are shown in lines of progress, as curves and
            in reports, 5 to 9 only by `esper runs show`, 0 nowhere of these. Of several names the first is meant, of
            `<head>` the head that others depend on.
    """

    names: tuple[str, ...] = field(converter=as_tuple)
    meaning: str
    healthy: str = field(default="", kw_only=True)
    advice: str = field(default="", kw_only=True)
    label: str = field(default="", kw_only=True)
    short: str = field(default="", kw_only=True)
    headline: int = field(default=0, kw_only=True, validator=in_(range(10)))
