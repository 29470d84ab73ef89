"""What modules that train must do, hosts and blueprints alike."""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from esper_core.contracts.errors import PluginError
from esper_core.contracts.grown import Grown
from esper_evaluation.export.write import write_export
from esper_testing.conformance.subject import Subject
from esper_testing.conformance.suite import Suite
from esper_testing.randomness import untouched_randomness

STEPS = 2
"""Optimiser steps within which a gradient must have reached every parameter."""

NOTHING = 1e-10
"""Share of the largest gradient below which one is but rounding, in float64."""


def seeded(build: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """Return what `build` makes of a seed, in float64; torch's random numbers are then as before."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return build().double()


class Case(NamedTuple):
    """A component, how a module is built with it, and inputs `[B, ...]` of the module in float64."""

    component: Any
    build_with: Callable[[Any], nn.Module]
    inputs: Tensor

    def built(self, seed: int = 0) -> nn.Module:
        """Return a module from a seed."""
        return seeded(lambda: self.build_with(self.component), seed)


def stateless(case: Case) -> None:
    """It has no state beyond its parameters: no buffers, no batch statistics, no dropout."""
    module, x = case.built(), case.inputs
    buffers = [name for name, _ in module.named_buffers()]
    assert not buffers, f"it has buffers, which no optimiser sees and no host may share: {', '.join(buffers)}"
    with untouched_randomness("its forward pass"), torch.no_grad():
        whole, again = module(x), module(x)
        alone = torch.cat([module(row[None]) for row in x])
    assert torch.equal(whole, again), "the same input gives another output when it is run again"
    assert torch.allclose(whole, alone, rtol=1e-9, atol=1e-9), (
        "what it makes of a sample depends on the rest of the batch"
    )


def repeatable(case: Case) -> None:
    """Initial weights follow from torch's seed, their shapes from the arguments alone."""
    one, again, other = case.built(), case.built().state_dict(), case.built(1)
    for name, parameter in one.state_dict().items():
        assert torch.equal(parameter, again[name]), f"'{name}' is another one when torch's seed is the same"
    sizes = [{name: tuple(p.shape) for name, p in module.named_parameters()} for module in (one, other)]
    assert sizes[0] == sizes[1], "its parameters have other shapes when torch's seed is another one"


def state(case: Case) -> None:
    """A state dict makes the round trip bit for bit."""
    module, fresh = case.built(), case.built(1)
    fresh.load_state_dict(module.state_dict())
    with torch.no_grad():
        same = torch.equal(module(case.inputs), fresh(case.inputs))
    assert same, "its output differs after its state dict is loaded into another one"


def picklable(case: Case) -> None:
    """It, and what it builds, can be pickled, since hosts may train in other processes."""
    module = case.built()
    other = case._replace(component=pickle.loads(pickle.dumps(case.component))).built()
    copy = pickle.loads(pickle.dumps(module))
    with torch.no_grad():
        expected = module(case.inputs)
        assert torch.equal(expected, other(case.inputs)), "it builds something else once it is pickled"
        assert torch.equal(expected, copy(case.inputs)), "a module it built gives another output once it is pickled"


def exports(case: Case) -> None:
    """What it builds can be taken home: `esper export` writes source that computes the same without it."""
    module = case.built().eval()
    with torch.no_grad():
        grown = Grown(module, {}, case.inputs, module(case.inputs), {})
    with TemporaryDirectory() as folder:
        try:
            write_export(grown, Path(folder) / "module.py")
        except PluginError as error:
            raise AssertionError(error.message) from error


def add_checks(suite: Suite, cases: Callable[[Subject], Iterable[Case]], *, after: str) -> None:
    """Add the checks that hosts and blueprints share, on every case, to be made once the check `after` has passed."""

    def on_all(check: Callable[[Case], None]) -> Callable[[Subject], None]:
        @functools.wraps(check)
        def run(subject: Subject) -> None:
            for case in cases(subject):
                check(case)

        return run

    for check in (stateless, repeatable, state, picklable, exports):
        suite.check(check.__name__, after=(after,))(on_all(check))


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
