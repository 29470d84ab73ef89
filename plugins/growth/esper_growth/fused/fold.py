"""Folding: from a plain module for one host to one function for n hosts whose channels lie side by side.

An activation of n hosts is `[B, n·C, *spatial]`, a parameter of n hosts `[n, ...]`. Well-known layers become one call
on folded tensors; any other module runs host by host.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from esper_growth.fused.kernels import max_pool_2x2, pointwise

Parameters = Mapping[str, Tensor]
"""Name → values of all hosts, `[n, ...]`."""

Folded = Callable[[Tensor, Parameters, int], Tensor]
"""Maps `[B, n·C, *spatial]`, parameters and n to `[B, n·C', *spatial']`."""

_PER_ELEMENT = (nn.ReLU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.LeakyReLU, nn.ELU, nn.Identity)
_PER_CHANNEL = (nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d)


def fold(module: nn.Module, prefix: str = "") -> Folded:
    """Return the folded form of a module without buffers; its parameters are looked up as `prefix` + name."""
    kind = type(module)
    if isinstance(module, nn.Sequential) and kind is nn.Sequential:
        return _sequence([fold(child, f"{prefix}{name}.") for name, child in _pooled_first(module)])
    if kind in (nn.Conv1d, nn.Conv2d) and module.padding_mode == "zeros" and not isinstance(module.padding, str):
        return _convolution(module, prefix)  # type: ignore[arg-type]
    if kind is nn.GroupNorm:
        return _group_norm(module, prefix)  # type: ignore[arg-type]
    if kind is nn.Linear:
        return _linear(prefix, module.bias is not None)
    if kind is nn.Flatten and module.start_dim == 1 and module.end_dim == -1:
        return lambda x, parameters, n: x.flatten(1)
    if kind is nn.MaxPool2d and _halves(module):  # type: ignore[arg-type]
        return _max_pool(module)  # type: ignore[arg-type]
    if kind in _PER_ELEMENT or kind in _PER_CHANNEL:
        return lambda x, parameters, n: module(x)
    return _host_by_host(module, prefix)


def _pooled_first(module: nn.Sequential) -> list[tuple[str, nn.Module]]:
    """Return the layers with every max-pool moved before a ReLU in front of it, which then has a quarter to do.

    Both orders give the same values and the same gradients: ReLU is monotone, and where it is flat nothing passes.
    """
    layers = list(module.named_children())
    for i in range(len(layers) - 1):
        if type(layers[i][1]) is nn.ReLU and type(layers[i + 1][1]) is nn.MaxPool2d:
            layers[i], layers[i + 1] = layers[i + 1], layers[i]
    return layers


def _sequence(steps: list[Folded]) -> Folded:
    def run(x: Tensor, parameters: Parameters, n: int) -> Tensor:
        for step in steps:
            x = step(x, parameters, n)
        return x

    return run


def _convolution(module: nn.Conv1d | nn.Conv2d, prefix: str) -> Folded:
    weight_name, bias_name = f"{prefix}weight", f"{prefix}bias"
    has_bias, call = module.bias is not None, functional.conv2d if isinstance(module, nn.Conv2d) else functional.conv1d
    is_pointwise = (
        set(module.kernel_size) == {1}
        and set(module.stride) == {1}
        and set(module.padding) == {0}
        and module.groups == 1
    )

    def convolve(x: Tensor, parameters: Parameters, n: int) -> Tensor:
        weight = parameters[weight_name]
        bias = parameters[bias_name].flatten() if has_bias else None
        return call(
            x,
            weight.flatten(0, 1),
            bias,
            module.stride,
            module.padding,
            module.dilation,
            n * module.groups,
        )

    def multiply(x: Tensor, parameters: Parameters, n: int) -> Tensor:
        # A batch of small products beats the convolution here, and no host's result depends on how many there are.
        weight = parameters[weight_name].flatten(2)
        batch, spatial = x.shape[0], x.shape[2:]
        y = pointwise(x.reshape(batch, n, weight.shape[2], -1), weight)
        if has_bias:
            y = y + parameters[bias_name].unsqueeze(-1)
        return y.view(batch, n * weight.shape[1], *spatial)

    return multiply if is_pointwise else convolve


def _group_norm(module: nn.GroupNorm, prefix: str) -> Folded:
    weight_name, bias_name = f"{prefix}weight", f"{prefix}bias"

    def run(x: Tensor, parameters: Parameters, n: int) -> Tensor:
        weight = bias = None
        if module.affine:
            weight, bias = parameters[weight_name].flatten(), parameters[bias_name].flatten()
        return functional.group_norm(x, n * module.num_groups, weight, bias, module.eps)

    return run


def _linear(prefix: str, has_bias: bool) -> Folded:
    weight_name, bias_name = f"{prefix}weight", f"{prefix}bias"

    def run(x: Tensor, parameters: Parameters, n: int) -> Tensor:
        if x.dim() != 2:
            raise TypeError(f"a folded Linear maps [B, n·features], not {tuple(x.shape)}")
        weight = parameters[weight_name]
        inputs = x.view(x.shape[0], n, -1).transpose(0, 1)
        y = torch.bmm(inputs, weight.transpose(1, 2))
        if has_bias:
            # As a product, so that the bias' gradient is one too: a plain sum rounds differently with other n.
            y = y + torch.bmm(inputs.new_ones(n, x.shape[0], 1), parameters[bias_name].unsqueeze(1))
        return y.transpose(0, 1).reshape(x.shape[0], -1)

    return run


def _halves(module: nn.MaxPool2d) -> bool:
    def is_two(value: object) -> bool:
        return value in (2, (2, 2))

    return (
        is_two(module.kernel_size)
        and is_two(module.stride)
        and module.padding in (0, (0, 0))
        and module.dilation in (1, (1, 1))
        and not module.ceil_mode
    )


def _max_pool(module: nn.MaxPool2d) -> Folded:
    def run(x: Tensor, parameters: Parameters, n: int) -> Tensor:
        even = x.shape[-1] % 2 == 0 and x.shape[-2] % 2 == 0
        return max_pool_2x2(x.contiguous()) if even else module(x)

    return run


def _host_by_host(module: nn.Module, prefix: str) -> Folded:
    names = [name for name, _ in module.named_parameters()]

    def run(x: Tensor, parameters: Parameters, n: int) -> Tensor:
        apart = x.unflatten(1, (n, -1))
        outputs = []
        for host in range(n):
            values = {name: parameters[f"{prefix}{name}"][host] for name in names}
            outputs.append(functional_call(module, values, (apart[:, host],)))
        return torch.stack(outputs, dim=1).flatten(1, 2)

    return run
