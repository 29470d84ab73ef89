"""Folded forms of growth's own modules that are not made of PyTorch's layers alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from esper_growth.blueprints.image import GatedNorm, SqueezeExcite
from esper_growth.blueprints.transformer import BiasedMixing, ChannelNorm, Mixing, mix, spread
from esper_growth.fused.repeat import repeat
from esper_growth.hosts.transformer import Patches, Positions, Residual
from esper_growth.model import Gate

if TYPE_CHECKING:
    from esper_growth.fused.fold import Folded, Parameters

Fold = Callable[[nn.Module, str], "Folded"]


STRIDE = 32
"""Numbers that PyTorch's vectorised loops take at once, at most; those left over round differently."""


def evenly(function: Callable[[Tensor], Tensor], x: Tensor, n: int) -> Tensor:
    """Apply a function of single numbers to the activations or parameters of n hosts, each number in full strides."""
    if x.numel() // n % STRIDE == 0:
        return function(x)
    return function(x.unsqueeze(-1).expand(*x.shape, STRIDE).contiguous())[..., 0]


def gated_norm(module: GatedNorm, fold: Fold, prefix: str) -> Folded:
    """Return `tanh(s)·(GN(x) − x)` for n hosts."""
    norm, scale_name = fold(module.norm, f"{prefix}norm."), f"{prefix}scale"

    def run(x: Tensor, parameters: Parameters, n: int) -> Tensor:
        batch = x.shape[0]
        factors = repeat(evenly(torch.tanh, parameters[scale_name], n).view(n, 1), batch).transpose(0, 1).contiguous()
        apart = (norm(x, parameters, n) - x).view(batch, n, -1)
        return (factors * apart).view(x.shape)

    return run


def squeeze_excite(module: SqueezeExcite, fold: Fold, prefix: str) -> Folded:
    """Return `x·σ(W2·relu(W1·mean(x)) + 3) − x` for n hosts."""
    squeeze = fold(module.squeeze, f"{prefix}squeeze.")
    excite = fold(module.excite, f"{prefix}excite.")

    def run(x: Tensor, parameters: Parameters, n: int) -> Tensor:
        hidden = torch.relu(squeeze(x.mean(dim=module.space), parameters, n))
        weight = evenly(torch.sigmoid, excite(hidden, parameters, n), n)
        return x * (weight - 1.0).unflatten(1, (-1, *module.ones))

    return run


def gate(module: Gate, fold: Fold, prefix: str) -> Folded:
    """Return the gates of n hosts, `[B, n]` with ones behind."""
    layers = fold(module.layers, f"{prefix}layers.")

    def run(x: Tensor, parameters: Parameters, n: int) -> Tensor:
        gates = layers(x.flatten(2).mean(dim=2), parameters, n)
        return gates.view(*gates.shape, *([1] * (x.dim() - 2)))

    return run


def sample_by_sample(module: nn.Module, fold: Fold, prefix: str) -> Folded:
    """Return a module without parameters for n hosts: to it, more hosts are more samples."""

    def run(x: Tensor, parameters: Parameters, n: int) -> Tensor:
        samples = x.unflatten(1, (n, -1)).flatten(0, 1)
        # How numbers lie in memory decides how products of them round, and one host alone might leave them transposed.
        return module(samples).unflatten(0, (-1, n)).flatten(1, 2).contiguous()

    return run


def residual(module: Residual, fold: Fold, prefix: str) -> Folded:
    """Return x + f(x) for n hosts."""
    branch = fold(module.branch, f"{prefix}branch.")
    return lambda x, parameters, n: x + branch(x, parameters, n)


def positions(module: Positions, fold: Fold, prefix: str) -> Folded:
    """Return x plus each host's table of positions."""
    return lambda x, parameters, n: (
        x + repeat(parameters[f"{prefix}table"], x.shape[0]).transpose(0, 1).reshape(x.shape)
    )


def biased_mixing(module: BiasedMixing, fold: Fold, prefix: str) -> Folded:
    """Return attention with each host's bias by distance."""

    def run(x: Tensor, parameters: Parameters, n: int) -> Tensor:
        samples = x.unflatten(1, (n, -1)).flatten(0, 1)
        bias = repeat(parameters[f"{prefix}by_distance"], x.shape[0]).transpose(0, 1).flatten(0, 1)
        return mix(samples, module.heads, spread(bias)).unflatten(0, (-1, n)).flatten(1, 2)

    return run


FOLDS: Mapping[type[nn.Module], Any] = {
    GatedNorm: gated_norm,
    SqueezeExcite: squeeze_excite,
    Gate: gate,
    ChannelNorm: sample_by_sample,
    Mixing: sample_by_sample,
    BiasedMixing: biased_mixing,
    Patches: sample_by_sample,
    Positions: positions,
    Residual: residual,
}
