"""Whatever a forward does in Python, its source does with torch: shapes, types, loops, options, parts of parts."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from plugins.evaluation.tests.export.test_source import Forward, check

C, L = 8, 6


def shapes(self: nn.Module, x: Tensor) -> Tensor:
    batch, channels, length = x.shape
    heads = x.view(batch, 2, channels // 2, -1).permute(0, 1, 3, 2)
    scale = 1 / math.sqrt(heads.shape[-1])
    fit = torch.softmax(heads @ heads.transpose(-1, -2) * scale, dim=-1)
    return (fit @ heads).transpose(2, 3).reshape(x.size(0), channels, length)


def attributes(self: nn.Module, x: Tensor) -> Tensor:
    if x.ndim != 3 or x.dtype == torch.float16 or x.is_cuda:
        raise ValueError("no curve")
    dims = tuple(range(1, x.dim()))
    mask = torch.ones(x.shape[-1], x.shape[-1], dtype=torch.bool, device=x.device).tril()
    fit = torch.einsum("bcl,bcm->blm", x, x).masked_fill(~mask, -math.inf)
    return x - x.mean(dims, keepdim=True) + (fit.softmax(-1) @ x.mT).mT.to(x.dtype)


def factories(self: nn.Module, x: Tensor) -> Tensor:
    positions = torch.arange(x.shape[2], device=x.device, dtype=x.dtype)
    angles = positions[None, :] * torch.logspace(0, -2, x.shape[1], device=x.device)[:, None]
    noise = torch.zeros(x.shape[0], 1, 1) + torch.full_like(x, 0.25) + x.new_ones(x.shape)
    return x * torch.cos(angles) + torch.where(x > 0, x, 2.0) + noise


def loops(self: nn.Module, x: Tensor) -> Tensor:
    for start in range(0, x.shape[2], 2):
        x = torch.cat([x[..., :start], x[..., start:].flip(-1)], dim=-1)
    first, *_, last = x.unbind(1)
    low, high = x.chunk(2, dim=1)
    values, indices = x.max(dim=1)
    stacked = torch.stack([first, last, values, indices.float()], dim=1)
    return torch.cat([low + high, 2 - stacked, 1 / (high**2 + 1)], dim=1)[:, : x.shape[1]]


def attention(self: nn.Module, x: Tensor) -> Tensor:
    query, key, value = (t.unflatten(2, (2, -1)).transpose(1, 2) for t in self.qkv(x.mT).chunk(3, dim=-1))
    return functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2).mT


def by_key(self: nn.Module, x: Tensor) -> Tensor:
    return self.table["a"](x.mT).mT * self.scales[1] + self.blocks[0][1].weight.sum() + self.bias["b"]


def in_place(self: nn.Module, x: Tensor) -> Tensor:
    before = x * 2
    y = x.clone()
    y[:, 0] = 0.5
    y += before
    self.act(y)
    functional.relu_(y)
    z = y.contiguous().float()
    return z + y + before


def several(self: nn.Module, x: Tensor) -> Tensor:
    out, (h, c) = self.rnn(x.mT)
    attended, weights = self.mha(out, out, out, need_weights=True)
    return attended.mT + h.sum() * 0 + weights.mean((1, 2))[:, None, None] + c.permute(1, 2, 0).sum(1, keepdim=True)


class Residual(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


class Stack(nn.Sequential):
    """Nothing but its parts."""


def tied() -> nn.Module:
    first, second, act = nn.Conv1d(C, C, 1), nn.Conv1d(C, C, 1), nn.ReLU()
    second.weight = first.weight
    return nn.Sequential(first, act, second, act, first)


def with_buffers() -> nn.Module:
    module = Forward(lambda self, x: x - self.mean + self.constant + self.table, constant=torch.rand(L))
    module.register_buffer("mean", torch.rand(C, 1), persistent=False)
    module.register_buffer("table", torch.arange(L))
    return nn.Sequential(
        module, nn.BatchNorm1d(C), nn.Dropout(0.3), Forward(lambda self, x: functional.dropout(x, 0.5, self.training))
    )


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "shapes": lambda: Forward(shapes),
    "attributes": lambda: Forward(attributes),
    "factories": lambda: Forward(factories),
    "loops": lambda: Forward(loops),
    "attention": lambda: Forward(attention, qkv=nn.Linear(C, 3 * C)),
    "by key": lambda: Forward(
        by_key,
        table=nn.ModuleDict({"a": nn.Linear(C, C), "not a name": nn.ReLU()}),
        scales=nn.ParameterList([nn.Parameter(torch.rand(())), nn.Parameter(torch.rand(C, 1))]),
        blocks=nn.ModuleList([nn.Sequential(nn.ReLU(), nn.Linear(2, 2))]),
        bias=nn.ParameterDict({"b": nn.Parameter(torch.rand(L))}),
    ),
    "in place": lambda: nn.Sequential(Forward(in_place, act=nn.ReLU(inplace=True)), nn.ReLU(inplace=True)),
    "several": lambda: Forward(
        several, rnn=nn.LSTM(C, C, batch_first=True), mha=nn.MultiheadAttention(C, 2, batch_first=True)
    ),
    "encoder": lambda: Forward(
        lambda self, x: self.layer(x.mT).mT, layer=nn.TransformerEncoderLayer(C, 2, 16, dropout=0.1, batch_first=True)
    ),
    "subclasses": lambda: Residual(nn.Conv1d(C, C, 1), Stack(nn.ReLU(), Residual(nn.Tanh()))),
    "tied": tied,
    "normalized": lambda: nn.Sequential(
        parametrizations.weight_norm(nn.Conv1d(C, C, 1)),
        parametrizations.spectral_norm(nn.Conv1d(C, C, 3, padding=1)),
    ),
    "buffers": with_buffers,
    "turned": lambda: Forward(
        lambda self, x: x @ self.weight, weight=nn.Parameter(torch.rand(5, L).mT @ torch.rand(5, L))
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_forward_is_written_as_what_it_does_with_torch(name: str) -> None:
    torch.manual_seed(0)
    check(NETWORKS[name](), torch.randn(5, C, L))


def test_what_was_one_tensor_is_one_again() -> None:
    source = check(nn.Sequential(tied()), torch.randn(5, C, L))
    assert "[2].weight =" in source and source.count("nn.Conv1d") == 3
