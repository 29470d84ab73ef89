"""Options of the blueprint. Commands list and check them, so this module imports no torch either."""

from __future__ import annotations

from attrs import frozen

from esper_core import option


@frozen
class MyBlueprintConfig:
    """Options of `my-blueprint`; set one with `-o blueprint.my-blueprint.dilation=3`."""

    dilation: int = option(2, low=1, help="Pixels from one tap of the kernel to the next; larger sees further.")
