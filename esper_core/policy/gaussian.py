"""Numbers drawn from Gaussians, squashed by tanh or not: pure functions of what a network gives.

A head of n numbers has `[..., 2n]` outputs. What is drawn is u ~ N(mean, std), and the environment gets a function of
it (`esper_core.policy.executed`). Densities of a squashed head are those of tanh u: the width of the bounds is a
constant that no ratio, gradient or divergence sees.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import softplus

from esper_core.contracts.precision import widened

SMALLEST_LOG_STD, LARGEST_LOG_STD = -5.0, 2.0
"""Bounds of log standard deviations; beyond them a network's output has no effect and no gradient."""

_LOG_ROOT_TWO_PI = 0.5 * math.log(2 * math.pi)
_LOGISTIC = (
    (0.020568450521580718, 0.41646967850521976),
    (0.18395429364440172, 0.5637992935379857),
    (0.38087729383207053, 0.7589542739818923),
    (0.3078721288280183, 1.0254075614573452),
    (0.09925684429473787, 1.3863432131264486),
    (0.007470988879191062, 1.885271196520107),
)
"""Weights and deviations of six Gaussians around 0 that make up the logistic distribution of scale 1/2.

They are a least squares fit of ln cosh and tanh, at most 2.3e-7 from both (Monahan and Stefanski 1992 fit the logistic
function so).
"""


class Gaussian(NamedTuple):
    """Means and log standard deviations, both `[..., n]`."""

    mean: Tensor
    log_std: Tensor

    @classmethod
    def of(cls, outputs: Tensor) -> Gaussian:
        """Return those that a network's `outputs [..., 2n]` mean; half precision becomes float32."""
        mean, log_std = widened(outputs).chunk(2, dim=-1)
        return cls(mean, log_std.clamp(SMALLEST_LOG_STD, LARGEST_LOG_STD))


def log_slope(u: Tensor) -> Tensor:
    """Return ln(1 − tanh²u), the log of the slope of tanh, elementwise; exact also where tanh u rounds to 1."""
    return 2 * (math.log(2) - u - softplus(-2 * u))


def log_density(gaussian: Gaussian, u: Tensor, squash: bool) -> Tensor:
    """Return the log density of `u [..., n]`, or of tanh u where it is squashed: `[...]`."""
    density: Tensor = _LogDensity.apply(*gaussian, u)
    return density - log_slope(u).sum(-1) if squash else density


class _LogDensity(torch.autograd.Function):
    """The log density of u `[..., n]`, whose derivatives are written out: they are few operations, a graph is many."""

    @staticmethod
    def forward(ctx: Any, mean: Tensor, log_std: Tensor, u: Tensor) -> Tensor:
        narrow = torch.exp(-log_std)
        error = (u - mean) * narrow
        ctx.save_for_backward(error, narrow)
        # Numbers are given to operations that take them as such; others make a tensor of each.
        size = torch.addcmul(log_std, error, error, value=0.5).sum(-1)
        return torch.rsub(size, -_LOG_ROOT_TWO_PI * u.shape[-1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        error, narrow = ctx.saved_tensors
        slope = slope.unsqueeze(-1)
        wide = slope * error
        mean = wide * narrow
        return mean, wide * error - slope, -mean if ctx.needs_input_grad[2] else None


def entropy(gaussian: Gaussian, squash: bool) -> Tensor:
    """Return the differential entropy in nats per number, `[...]`.

    Squashing adds E[ln(1 − tanh²u)] = 2·ln 2 − 2·E|u + v| with v of the logistic distribution of scale 1/2. As v is a
    mixture of Gaussians, that is a sum in closed form, within 5e-7 for every mean and deviation (in double precision).
    """
    each = gaussian.log_std + (_LOG_ROOT_TWO_PI + 0.5)
    if squash:
        weights, variances = _logistic(each.device, each.dtype)
        std = (torch.exp(2 * gaussian.log_std).unsqueeze(-1) + variances).sqrt()
        each = each + 2 * (math.log(2) - _mean_size(gaussian.mean.unsqueeze(-1), std) @ weights)
    return each.mean(-1)


def kl(old: Gaussian, new: Gaussian) -> Tensor:
    """Return KL(old ‖ new) in nats, `[...]`; squashing does not change it."""
    narrower, narrow = old.log_std - new.log_std, torch.exp(-new.log_std)
    moved = (old.mean - new.mean) * narrow
    twice = torch.addcmul(torch.expm1(narrower + narrower), moved, moved).sub(narrower, alpha=2)
    return 0.5 * twice.sum(-1)


def _mean_size(mean: Tensor, std: Tensor) -> Tensor:
    """Return E|x| of x ~ N(mean, std)."""
    far = mean / (math.sqrt(2) * std)
    return math.sqrt(2 / math.pi) * std * torch.exp(-far.square()) + mean * torch.erf(far)


@lru_cache(maxsize=16)
def _logistic(device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return weights and variances of what the logistic distribution is made up of, both `[6]`."""
    # Out of inference mode, because autograd may save these cached tensors for a backward pass.
    with torch.inference_mode(False):
        weights, deviations = torch.tensor(_LOGISTIC, dtype=torch.float64).unbind(-1)
        return weights.to(device, dtype), deviations.square().to(device, dtype)
