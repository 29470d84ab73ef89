"""Means of a few measurements, and how sure they are: Student's intervals. Importing this module needs no numpy."""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import fmean, variance

from attrs import frozen

CONFIDENCE = 0.95

# Student's t at 0.975 for 1 to 30 degrees of freedom.
_T = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)


@frozen
class Interval:
    """A mean and its 95 % interval.

    Attributes:
        low, high: Ends of the interval; None for a single measurement, which says nothing about its spread.
    """

    mean: float
    low: float | None
    high: float | None
    count: int


def mean_interval(values: Iterable[float]) -> Interval | None:
    """Return mean and interval (Student's t) of independent measurements; None without any."""
    known = list(values)
    if not known:
        return None
    mean, count = fmean(known), len(known)
    if count == 1:
        return Interval(mean, None, None, 1)
    half = t_quantile(count - 1) * math.sqrt(variance(known) / count)
    return Interval(mean, mean - half, mean + half, count)


def difference(first: Iterable[float], second: Iterable[float]) -> Interval | None:
    """Return mean(second) − mean(first) and its interval (Welch); None unless both have two measurements."""
    a, b = list(first), list(second)
    if len(a) < 2 or len(b) < 2:
        return None
    mean = fmean(b) - fmean(a)
    share_a, share_b = variance(a) / len(a), variance(b) / len(b)
    spread = share_a + share_b
    if spread == 0:
        return Interval(mean, mean, mean, len(a) + len(b))
    degrees = spread**2 / (share_a**2 / (len(a) - 1) + share_b**2 / (len(b) - 1))
    half = t_quantile(degrees) * math.sqrt(spread)
    return Interval(mean, mean - half, mean + half, len(a) + len(b))


def t_quantile(degrees: float) -> float:
    """Return Student's t at 0.975; degrees of freedom are rounded down, at least to 1."""
    whole = max(1, math.floor(degrees + 1e-9))
    if whole <= len(_T):
        return _T[whole - 1]
    z = 1.959964  # of the normal distribution, corrected by the first terms of Fisher's expansion
    return z + (z**3 + z) / (4 * whole) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * whole**2)
