"""The two files of an export: what they hold, what they cost, and that they need torch alone."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from esper_core.contracts.errors import PluginError, UserError
from esper_core.contracts.grown import Grown
from esper_core.policy.cost import count
from esper_evaluation.export.write import export_paths, write_export
from plugins.evaluation.tests.export.test_source import Forward


def net() -> nn.Module:
    first = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.GroupNorm(4, 8), nn.ReLU())
    return nn.Sequential(OrderedDict(first=first, last=nn.Sequential(nn.Flatten(), nn.Linear(8 * 6 * 5, 4))))


def grown(off: float = 0.0) -> Grown:
    network, inputs = net().eval(), torch.randn(7, 3, 6, 5)
    with torch.no_grad():
        outputs = network(inputs) + off
    return Grown(network, {"first": "conv, 8 wide"}, inputs, outputs, {"instance": 0})


def test_operations_are_those_one_counts_by_hand() -> None:
    whole, (first, last) = count(net(), torch.randn(1, 3, 6, 5))
    assert (first.name, first.parameters, first.flops) == ("first", 3 * 8 * 9 + 16, 2 * 3 * 8 * 9 * 6 * 5)
    assert (last.name, last.parameters, last.flops) == ("last", 8 * 30 * 4 + 4, 2 * 8 * 30 * 4)
    assert (whole.parameters, whole.flops) == (first.parameters + last.parameters, first.flops + last.flops)


def attending(self: nn.Module, x: Tensor) -> Tensor:
    parts = x.unflatten(2, (2, -1)).transpose(1, 2)
    return nn.functional.scaled_dot_product_attention(parts, parts, parts)


L, C = 6, 8
PRODUCTS = 2 * 2 * L * L * C
"""Of queries with keys, and of what comes of it with values."""
LINEAR = 4 * 2 * L * C * C
"""Queries, keys, values and the projection."""


@pytest.mark.parametrize("trains", [True, False])
@pytest.mark.parametrize(
    ("network", "flops"),
    [
        (Forward(attending), PRODUCTS),
        (
            Forward(lambda self, x: self.heads(x, x, x)[0], heads=nn.MultiheadAttention(C, 2, batch_first=True)),
            LINEAR + PRODUCTS,
        ),
        (nn.TransformerEncoderLayer(C, 2, 16, batch_first=True), LINEAR + PRODUCTS + 2 * 2 * L * C * 16),
        (Forward(lambda self, x: self.cell(x)[0], cell=nn.LSTM(C, 4, batch_first=True)), 2 * L * 16 * (C + 4)),
    ],
    ids=["attention", "multihead", "encoder", "lstm"],
)
def test_operations_of_layers_with_kernels_of_their_own_count(network: nn.Module, flops: int, trains: bool) -> None:
    fast, onednn = torch.backends.mha.get_fastpath_enabled(), torch.backends.mkldnn.enabled
    assert count(network.train(trains).requires_grad_(trains), torch.randn(1, L, C))[0].flops == flops
    assert (torch.backends.mha.get_fastpath_enabled(), torch.backends.mkldnn.enabled) == (fast, onednn)


def test_the_source_says_what_it_is(tmp_path: Path) -> None:
    text = write_export(grown(), tmp_path / "grown").source.read_text()
    assert "inputs [batch, 3, 6, 5] to outputs [batch, 4]" in text
    assert "first                  232        12,960" in text
    assert "# conv, 8 wide" in text


def test_a_network_that_computes_something_else_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="computes something else: outputs differ by up to"):
        write_export(grown(off=1e-3), tmp_path / "grown.py")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["train.py", "train.safetensors"])
def test_nothing_but_an_export_is_written_over(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(UserError, match="was not written by an export"):
        write_export(grown(), tmp_path / "train")
    assert (tmp_path / name).read_text() == "mine" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", ["my-net.py", "1st.py", "class.py", "a b", "x.tar"])
def test_a_name_that_python_cannot_import_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="cannot be the name of a Python module"):
        export_paths(tmp_path / name)


@pytest.mark.parametrize("note", ['"""', "a\nimport os", "\\", "norm\r", "x # y"])
def test_a_note_is_one_plain_line(note: str) -> None:
    example = grown()
    with pytest.raises(ValueError, match="not a plain line"):
        Grown(example.network, {"first": note}, example.inputs, example.outputs, {})
