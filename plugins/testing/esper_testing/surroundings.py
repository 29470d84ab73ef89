"""What numbers depend on that no command says: the code that computes them, and the machine."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from esper_core.registry.index import Component
from esper_core.registry.sources import made_with


def surroundings(components: Iterable[Component]) -> dict[str, Any]:
    """Return, JSON-able, code and libraries of components, and the capability of this machine's processor."""
    import torch

    return {
        "capability": torch.backends.cpu.get_cpu_capability(),
        **made_with(component.spec.module for component in components),
    }
