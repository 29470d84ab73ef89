"""Options of the rule. Commands list and check them, so this module imports no torch either."""

from __future__ import annotations

from attrs import frozen

from esper_core import option


@frozen
class MyRuleConfig:
    """Options of `my-rule`."""

    every: int = option(4, low=1, help="Steps from one operation to the next; in between it waits.")
