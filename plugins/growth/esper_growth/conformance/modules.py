"""What modules that train must do, hosts and blueprints alike."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

from esper_core.contracts.errors import PluginError
from esper_core.contracts.grown import Grown
from esper_evaluation.export.write import write_export
from esper_testing.randomness import untouched_randomness

Forward = Callable[[Tensor], Tensor]

STEPS = 2
"""Optimiser steps within which a gradient must have reached every parameter."""

NOTHING = 1e-10
"""Share of the largest gradient below which one is but rounding, in float64."""


def seeded(build: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """Return what `build` makes of a seed, in float64; torch's random numbers are then as before."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return build().double()


def check_births(build: Callable[[], nn.Module]) -> None:
    """Fail unless torch's seed, and nothing else, decides the parameters; their number does not depend on it."""
    one, again, other = seeded(build), seeded(build), seeded(build, 1)
    for name, parameter in one.state_dict().items():
        assert torch.equal(parameter, again.state_dict()[name]), (
            f"'{name}' is another one when torch's seed is the same"
        )
    sizes = [{name: tuple(p.shape) for name, p in module.named_parameters()} for module in (one, other)]
    assert sizes[0] == sizes[1], "its parameters have other shapes when torch's seed is another one"


def check_stateless(module: nn.Module, x: Tensor) -> None:
    """Fail when a module has buffers, draws random numbers, or computes a sample from others of its batch."""
    buffers = [name for name, _ in module.named_buffers()]
    assert not buffers, f"it has buffers, which no optimiser sees and no host may share: {', '.join(buffers)}"
    with untouched_randomness("its forward pass"), torch.no_grad():
        whole, again = module(x), module(x)
        alone = torch.cat([module(row[None]) for row in x])
    assert torch.equal(whole, again), "the same input gives another output when it is run again"
    assert torch.allclose(whole, alone, rtol=1e-9, atol=1e-9), (
        "what it makes of a sample depends on the rest of the batch"
    )


def check_pickle(built: object, build: Callable[[object], nn.Module], x: Tensor) -> None:
    """Fail unless a component builds the same after pickling, and what it builds can be pickled."""
    module, other = seeded(lambda: build(built)), seeded(lambda: build(pickle.loads(pickle.dumps(built))))
    copy = pickle.loads(pickle.dumps(module))
    with torch.no_grad():
        assert torch.equal(module(x), other(x)), "it builds something else once it is pickled"
        assert torch.equal(module(x), copy(x)), "a module it built gives another output once it is pickled"


def check_state(module: nn.Module, fresh: nn.Module, x: Tensor) -> None:
    """Fail unless the state dict holds all that decides a module's output."""
    fresh.load_state_dict(module.state_dict())
    with torch.no_grad():
        assert torch.equal(module(x), fresh(x)), "its output differs after its state dict is loaded into another one"


def check_exports(module: nn.Module, x: Tensor) -> None:
    """Fail unless a module can be written as source that computes the same, with torch alone."""
    module.eval()
    with torch.no_grad():
        grown = Grown(module, {}, x, module(x), {})
    with TemporaryDirectory() as folder:
        try:
            write_export(grown, Path(folder) / "module.py")
        except PluginError as error:
            raise AssertionError(error.message) from error


def check_gradients(module: nn.Module, loss: Callable[[int], Tensor]) -> None:
    """Fail unless every parameter has had a gradient within two steps of SGD.

    Args:
        module: The module.
        loss: Step → loss, computed with the module.
    """
    parameters = dict(module.named_parameters())
    assert parameters, "it has no parameters, so there is nothing to train"
    frozen = [name for name, parameter in parameters.items() if not parameter.requires_grad]
    assert not frozen, f"no gradient can reach {', '.join(frozen)}: requires_grad is off"
    optimizer = torch.optim.SGD(module.parameters(), lr=0.05)
    largest = dict.fromkeys(parameters, 0.0)
    for step in range(STEPS):
        optimizer.zero_grad()
        loss(step).backward()
        for name, parameter in parameters.items():
            if parameter.grad is not None:
                assert bool(parameter.grad.isfinite().all()), f"the gradient of '{name}' is not finite at step {step}"
                largest[name] = max(largest[name], float(parameter.grad.abs().max()))
        optimizer.step()
    dead = [name for name, size in largest.items() if size <= NOTHING * max(largest.values())]
    assert not dead, f"no gradient has reached {', '.join(dead)} within {STEPS} steps"
