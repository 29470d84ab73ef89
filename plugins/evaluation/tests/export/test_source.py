"""Source of modules: what it builds computes the same, and nothing but torch is needed."""

from __future__ import annotations

import ast
import itertools
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from esper_core.contracts.errors import PluginError
from esper_evaluation.export.places import tensors
from esper_evaluation.export.source import module_source


def rebuilt(network: nn.Module, sample: Tensor, **notes: str) -> tuple[nn.Module, str]:
    """Return the network that the source of a network builds, with the same weights, and the source."""
    source = module_source(network.eval(), "Network", notes, sample)
    names: dict[str, Any] = {"torch": torch, "nn": nn}
    exec(source, names)
    again = names["Network"]()
    again.load_state_dict(tensors(network))
    return again.eval(), source


def check(network: nn.Module, inputs: Tensor) -> str:
    """Return the source of a network, after comparing what it builds for all inputs, for one and for more."""
    again, source = rebuilt(network, inputs[:1])
    with torch.no_grad():
        for batch in (inputs, inputs[:1], torch.cat([inputs, inputs.flip(0)])):
            assert torch.equal(again(batch), network(batch)), source
    return source


class Forward(nn.Module):
    """Applies a function to itself and an input."""

    def __init__(self, function: Callable[[nn.Module, Tensor], Tensor], **parts: nn.Module | Tensor) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


class Scaled(nn.Module):
    """A part with numbers of its own."""

    def __init__(self, part: nn.Module, width: int = 4) -> None:
        super().__init__()
        self.part = part
        self.scale = nn.Parameter(torch.randn(width))
        self.register_buffer("shift", torch.randn(()))
        self.power = 2

    def forward(self, x: Tensor) -> Tensor:
        y = self.part(x)
        return x + torch.tanh(self.scale) * y**self.power + self.shift


class Twice(nn.Module):
    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))


LAYERS = {
    "conv": nn.Sequential(nn.Conv2d(3, 6, (3, 1), stride=2, padding=(1, 0), groups=3, bias=False), nn.ReLU()),
    "norms": nn.Sequential(nn.GroupNorm(3, 3, eps=1e-3), nn.LayerNorm((3, 8, 8)), nn.BatchNorm2d(3)),
    "pools": nn.Sequential(nn.MaxPool2d(2), nn.AdaptiveAvgPool2d((2, 1)), nn.Flatten(), nn.Linear(6, 2)),
    "activations": nn.Sequential(nn.GELU(approximate="tanh"), nn.LeakyReLU(0.3), nn.Softmax(dim=1), nn.Dropout(0.2)),
    "named": nn.Sequential(OrderedDict(first=nn.Conv2d(3, 3, 1), second=nn.Tanh())),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_are_built_with_the_arguments_they_were_built_with(name: str) -> None:
    check(Twice(LAYERS[name], nn.Identity()), torch.randn(2, 3, 8, 8))


def test_a_class_holds_its_own_parameters_and_buffers_under_their_names() -> None:
    source = check(Twice(Scaled(nn.Linear(4, 4)), nn.Sequential(nn.ReLU(), Scaled(nn.Identity()))), torch.randn(3, 4))
    assert source.count("class Scaled") == 1, "two alike share a class"
    assert "A part with numbers of its own." in source


def test_modules_that_differ_get_classes_of_their_own() -> None:
    network = Twice(nn.Sequential(Scaled(nn.Identity()), nn.Linear(4, 6)), Scaled(nn.Identity(), 6))
    source = check(network, torch.randn(2, 4))
    assert "class Scaled(" in source and "class Scaled2(" in source


def test_source_imports_nothing_and_comments_are_the_notes() -> None:
    _, source = rebuilt(Twice(nn.Linear(2, 2), nn.ReLU()), torch.ones(1, 2), first="norm, blended by ADD")
    assert "        # norm, blended by ADD\n        self.first = nn.Linear(2, 2)" in source
    tree = ast.parse(source)
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]


torch.library.define("abroad::nowhere", "(Tensor x) -> Tensor")
torch.library.impl("abroad::nowhere", "CompositeImplicitAutograd", lambda x: x + 1)


def stacked(self: nn.Module, x: Tensor) -> Tensor:
    return torch.stack([row * 2 for row in x])


def restless() -> nn.Module:
    times = itertools.count(1)
    return Forward(lambda self, x: x * next(times))


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (Forward(lambda self, x: x if x.sum() > 0 else -x), "it does depends on the values that it is given"),
        (Forward(lambda self, x: torch.ops.abroad.nowhere(x)), "abroad.nowhere"),
        (Forward(stacked), "works for one number of samples alone"),
        (Forward(lambda self, x: self.one(x) + self.one(x), one=restless()), "something else when it is called again"),
        (nn.MultiheadAttention(4, 2), "cannot be written as source"),
    ],
)
def test_what_cannot_be_written_is_refused_by_name(module: nn.Module, reason: str) -> None:
    with pytest.raises(PluginError, match=reason) as raised:
        module_source(Twice(module, nn.Identity()), "Network", {}, torch.ones(1, 3))
    assert f"{type(module).__name__} cannot be written as source" in raised.value.message


def test_names_that_are_no_identifiers_are_refused() -> None:
    network = Twice(nn.ReLU(), nn.ReLU())
    network.add_module("x = 1\n        import os #", nn.ReLU())
    with pytest.raises(PluginError, match="cannot be a name"):
        module_source(network, "Network", {}, torch.ones(1, 3))


def test_a_docstring_that_would_end_early_is_left_out() -> None:
    class Quoting(nn.Module):
        '''Nothing to see""" + __import__("os").system("true") + """.'''

        def forward(self, x: Tensor) -> Tensor:
            return x

    assert "__import__" not in check(Twice(Quoting(), nn.Identity()), torch.ones(1))
