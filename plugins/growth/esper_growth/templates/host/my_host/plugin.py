"""Registers the host `my-host`. Every command imports this module, so it imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

from esper_core import ComponentSpec, hookimpl


@hookimpl
def esper_components() -> Iterator[ComponentSpec]:
    """Register the host."""
    yield ComponentSpec(
        kind="host",
        name="my-host",
        factory="my_host.host:MyHost",
        config="my_host.config:MyHostConfig",
        summary="cuts the image into patches and mixes channels: weak alone",
    )
