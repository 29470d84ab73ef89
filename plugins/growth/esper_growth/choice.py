"""Which runtime trains hosts."""

from __future__ import annotations

from esper_growth.config import GrowthConfig
from esper_growth.fused.runtime import FusedRuntime
from esper_growth.loop import LoopRuntime
from esper_growth.problems import Problems

Kind = type[LoopRuntime] | type[FusedRuntime]

KINDS: dict[str, Kind] = {"loop": LoopRuntime, "fused": FusedRuntime}


def choose(config: GrowthConfig, problems: Problems, precision: str) -> Kind:
    """Return the runtime that `environment.runtime` names."""
    return KINDS[config.runtime]
