"""Options of the host. Commands list and check them, so this module imports no torch either."""

from __future__ import annotations

from attrs import frozen

from esper_core import option


@frozen
class MyHostConfig:
    """Options of `my-host`; set one with `-o host.width=32`."""

    width: int = option(16, low=1, help="Channels of every block; wider learns more by itself.")
    patch: int = option(2, low=1, help="Side of the patches that an image is cut into; larger sees less detail.")
