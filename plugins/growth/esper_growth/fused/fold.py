"""Folding: from a plain module for one host to one function for n hosts whose channels lie side by side.

An activation of n hosts is `[B, n·C, *spatial]`, a parameter of n hosts `[n, ...]`. Well-known layers become one call
on folded tensors; any other module runs host by host on the CPU, and as one vectorised call elsewhere.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional

from esper_growth.fused.branches import FOLDS, evenly
from esper_growth.fused.product import pointwise
from esper_growth.fused.repeat import repeat

_logger = logging.getLogger(__name__)

Parameters = Mapping[str, Tensor]
"""Name → values of all hosts, `[n, ...]`."""

Folded = Callable[[Tensor, Parameters, int], Tensor]
"""Maps `[B, n·C, *spatial]`, parameters and n to `[B, n·C', *spatial']`."""

_EXACT = (nn.ReLU, nn.LeakyReLU, nn.Identity)
_ROUNDED = (nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.ELU)
_PER_CHANNEL = (nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d)


def fold(module: nn.Module, prefix: str = "") -> Folded:
    """Return the folded form of a module without buffers; its parameters are looked up as `prefix` + name."""
    kind = type(module)
    if kind is nn.Sequential:
        return _sequence([fold(layer, f"{prefix}{name}.") for name, layer in module.named_children()])
    if kind in (nn.Conv1d, nn.Conv2d) and module.padding_mode == "zeros" and not isinstance(module.padding, str):
        return _convolution(module, prefix)  # type: ignore[arg-type]
    if kind is nn.GroupNorm:
        return _group_norm(module, prefix)  # type: ignore[arg-type]
    if kind is nn.Linear:
        return _linear(prefix, module.bias is not None)
    if kind is nn.Flatten and module.start_dim == 1 and module.end_dim == -1:
        return lambda x, parameters, n: x.flatten(1)
    if kind in _ROUNDED:
        return lambda x, parameters, n: evenly(module, x, n)
    if kind in _EXACT or kind in _PER_CHANNEL:
        return lambda x, parameters, n: module(x)
    if kind in FOLDS:
        return FOLDS[kind](module, fold, prefix)
    if any(parameter.device.type != "cpu" for parameter in module.parameters()):
        return stacked(module, prefix)
    # Vectorised calls were measured to be no faster on the CPU, and their products round differently with other n.
    _say_that_it_runs_host_by_host(_name(module))
    return host_by_host(module, prefix)


def _name(module: nn.Module) -> str:
    return f"{type(module).__module__}.{type(module).__qualname__}"


@functools.cache
def _say_that_it_runs_host_by_host(name: str) -> None:
    _logger.warning("The module %s has no fused form; it runs host by host, which is slower.", name)


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
        weight = parameters[weight_name].flatten(0, 1)
        bias = parameters[bias_name].flatten() if has_bias else None
        if n * module.groups > 1:
            return call(x, weight, bias, module.stride, module.padding, module.dilation, n * module.groups)
        # One group alone is computed another way, which rounds otherwise; so it gets company.
        x, weight = torch.cat([x, x.detach()], dim=1), torch.cat([weight, weight.detach()])
        bias = None if bias is None else torch.cat([bias, bias.detach()])
        y = call(x, weight, bias, module.stride, module.padding, module.dilation, 2)
        return y[:, : module.out_channels].contiguous()

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
        weight = parameters[weight_name].flatten() if module.affine else None
        bias = parameters[bias_name].flatten() if module.affine else None
        return functional.group_norm(x, n * module.num_groups, weight, bias, module.eps)

    return run


def _linear(prefix: str, has_bias: bool) -> Folded:
    weight_name, bias_name = f"{prefix}weight", f"{prefix}bias"

    def run(x: Tensor, parameters: Parameters, n: int) -> Tensor:
        if x.dim() != 2:
            raise TypeError(f"a folded Linear maps [B, n·features], not {tuple(x.shape)}")
        weight = parameters[weight_name].transpose(1, 2)
        inputs = x.view(x.shape[0], n, -1).transpose(0, 1)
        y = torch.bmm(_in_lines(inputs), _in_lines(weight))[:, : x.shape[0], : weight.shape[2]]
        if has_bias:
            y = y + repeat(parameters[bias_name], x.shape[0])
        return y.transpose(0, 1).reshape(x.shape[0], -1)

    return run


def _in_lines(matrices: Tensor) -> Tensor:
    """Return matrices `[n, R, C]` with zeros behind, such that each begins a cache line, and so do their products.

    How a library rounds a product depends on where in memory its factors lie, and how narrow they are.
    """
    step = 4 if matrices.element_size() >= 4 else 8
    _, rows, columns = matrices.shape
    return functional.pad(matrices, (0, -columns % step, 0, -rows % step)).contiguous()


def host_by_host(module: nn.Module, prefix: str) -> Folded:
    """Return the folded form of any module: one call per host."""
    names = [name for name, _ in module.named_parameters()]

    def run(x: Tensor, parameters: Parameters, n: int) -> Tensor:
        apart = x.unflatten(1, (n, -1))
        outputs = []
        for host in range(n):
            values = {name: parameters[f"{prefix}{name}"][host] for name in names}
            outputs.append(functional_call(module, values, (apart[:, host],)))
        return torch.stack(outputs, dim=1).flatten(1, 2)

    return run


def stacked(module: nn.Module, prefix: str) -> Folded:
    """Return the folded form of a module as one vectorised call, or host by host once it turns out to refuse that."""
    names = [name for name, _ in module.named_parameters()]
    call = vmap(partial(functional_call, module), in_dims=(0, 1), out_dims=1, randomness="different")
    one_by_one = host_by_host(module, prefix)
    refused = False

    def run(x: Tensor, parameters: Parameters, n: int) -> Tensor:
        nonlocal refused
        if not refused:
            try:
                values = {name: parameters[f"{prefix}{name}"] for name in names}
                return call(values, x.unflatten(1, (n, -1))).flatten(1, 2)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError:
                refused = True
                _say_that_it_runs_host_by_host(_name(module))
        return one_by_one(x, parameters, n)

    return run
