"""Settings that fade over a run."""

from __future__ import annotations


def faded(value: float, half_life: float, update: int) -> float:
    """Return value · 2^(−(update − 1) / half_life) for an update, numbered from 1 on; a half-life of 0 keeps it."""
    return value * (0.5 ** ((update - 1) / half_life) if half_life else 1.0)
