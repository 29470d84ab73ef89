"""Numbers drawn from Gaussians, squashed by tanh or not: pure functions of what a network gives.

A head of n numbers has `[..., 2n]` outputs. What is drawn is u ~ N(mean, std), and the environment gets a function of
it (`esper_core.policy.executed`). Densities of a squashed head are those of tanh u: the width of the bounds is a
constant that no ratio, gradient or divergence sees.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softplus

SMALLEST_LOG_STD, LARGEST_LOG_STD = -5.0, 2.0
"""Bounds of log standard deviations; beyond them a network's output has no effect and no gradient."""

_LOG_ROOT_TWO_PI = 0.5 * math.log(2 * math.pi)
_REACH, _NODES = 6.0, 49


class Gaussian(NamedTuple):
    """Means and log standard deviations, both `[..., n]`."""

    mean: Tensor
    log_std: Tensor

    @classmethod
    def of(cls, outputs: Tensor) -> Gaussian:
        """Return those that a network's `outputs [..., 2n]` mean."""
        mean, log_std = outputs.chunk(2, dim=-1)
        return cls(mean, log_std.clamp(SMALLEST_LOG_STD, LARGEST_LOG_STD))


def log_slope(u: Tensor) -> Tensor:
    """Return ln(1 − tanh²u), the log of the slope of tanh, elementwise; exact also where tanh u rounds to 1."""
    return 2 * (math.log(2) - u - softplus(-2 * u))


def log_density(gaussian: Gaussian, u: Tensor, squash: bool) -> Tensor:
    """Return the log density of `u [..., n]`, or of tanh u where it is squashed: `[...]`."""
    error = (u - gaussian.mean) * torch.exp(-gaussian.log_std)
    each = -0.5 * error.square() - gaussian.log_std - _LOG_ROOT_TWO_PI
    return (each - log_slope(u) if squash else each).sum(-1)


def entropy(gaussian: Gaussian, squash: bool) -> Tensor:
    """Return the differential entropy in nats per number, `[...]`.

    Squashing adds E[ln(1 − tanh²u)]. It is summed with the trapezoidal rule, which converges exponentially here: in
    double precision to 1e-12 at a standard deviation of 1, to 1e-2 at the largest, e².
    """
    each = gaussian.log_std + (_LOG_ROOT_TWO_PI + 0.5)
    if squash:
        nodes, weights = _quadrature(each.device, each.dtype)
        u = torch.addcmul(gaussian.mean.unsqueeze(-1), gaussian.log_std.exp().unsqueeze(-1), nodes)
        each = each + log_slope(u) @ weights
    return each.mean(-1)


def kl(old: Gaussian, new: Gaussian) -> Tensor:
    """Return KL(old ‖ new) in nats, `[...]`; squashing does not change it."""
    narrower = old.log_std - new.log_std
    moved = (old.mean - new.mean) * torch.exp(-new.log_std)
    return (0.5 * (torch.expm1(2 * narrower) + moved.square()) - narrower).sum(-1)


@lru_cache(maxsize=16)
def _quadrature(device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return nodes and weights of expectations over a standard normal, both `[nodes]`."""
    # Out of inference mode, because autograd may save these cached tensors for a backward pass.
    with torch.inference_mode(False):
        nodes = torch.linspace(-_REACH, _REACH, _NODES, dtype=torch.float64)
        weights = torch.exp(-0.5 * nodes.square())
        return nodes.to(device, dtype), (weights / weights.sum()).to(device, dtype)
