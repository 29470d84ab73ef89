"""What every blueprint must do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn

from esper_growth.actions import Algorithm
from esper_growth.conformance import modules, stand_in
from esper_growth.conformance.modules import Case
from esper_growth.conformance.stepping import check_steps
from esper_growth.model import Gate, Seed, SeedSetting
from esper_growth.protocols import Blueprint, fits, on
from esper_growth.stages import Stage
from esper_testing.conformance.subject import Subject
from esper_testing.conformance.suite import Suite

SUITE = Suite(
    "blueprint",
    (
        "topologies",
        "shape",
        "identity",
        "gradients",
        "stateless",
        "repeatable",
        "state",
        "picklable",
        "runtimes",
        "exports",
    ),
)

BATCH = 5
WIDTHS = (1, 2, 3, 6, 8, 16, 40)
SPACES: dict[str, tuple[tuple[int, ...], ...]] = {
    "image": ((8, 8), (4, 4), (2, 2), (1, 1), (5, 3), (12,), (5,), (1,)),
    "sequence": ((12,), (5,), (1,)),
}
"""Topology → spatial sizes at a slot."""

CHANNELS = 16


def _blueprint(subject: Subject) -> Blueprint:
    return subject.once("blueprint", subject.build)


def _branch(topology: str, channels: int, spatial: tuple[int, ...], blueprint: Blueprint) -> nn.Module:
    return on(blueprint, topology).build(channels, spatial)


def _builder(subject: Subject, topology: str, channels: int, spatial: tuple[int, ...]) -> Callable[[], nn.Module]:
    return partial(_branch, topology, channels, spatial, _blueprint(subject))


def _inputs(channels: int, spatial: tuple[int, ...]) -> Tensor:
    shape = (BATCH, channels, *spatial)
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def _usual(subject: Subject) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield its topologies, each with a spatial size, for every number of axes, at which there is something to see."""
    for topology in _blueprint(subject).topologies:
        spaces = _spaces(subject, topology)
        for axes in sorted({len(spatial) for spatial in spaces}):
            yield topology, next(spatial for spatial in spaces if len(spatial) == axes)


def _spaces(subject: Subject, topology: str) -> tuple[tuple[int, ...], ...]:
    blueprint = _blueprint(subject)
    return tuple(spatial for spatial in SPACES[topology] if fits(blueprint, topology, (len(spatial),)))


@SUITE.check("topologies")
def topologies(subject: Subject) -> None:
    """It names the host topologies on which it is legal, each a known one."""
    found = _blueprint(subject).topologies
    assert isinstance(found, tuple) and found, f"its topologies are {found!r}, so it is legal on no host"
    unknown = [name for name in found if name not in SPACES]
    assert not unknown, f"its topologies {unknown} are unknown; known are {', '.join(SPACES)}"


@SUITE.check("shape", after=("topologies",))
def shape(subject: Subject) -> None:
    """It maps `[B, C, *spatial]` to the same shape, finite, for any width and spatial size."""
    for topology in _blueprint(subject).topologies:
        for channels in WIDTHS:
            for spatial in _spaces(subject, topology):
                x = _inputs(channels, spatial)
                result = modules.seeded(_builder(subject, topology, channels, spatial))(x)
                what = f"{channels} channels, {'×'.join(map(str, spatial))}"
                assert result.shape == x.shape, f"{what}: it maps {list(x.shape)} to {list(result.shape)}"
                assert bool(result.isfinite().all()), f"{what}: its output is not finite"


@SUITE.check("identity", after=("shape",))
def identity(subject: Subject) -> None:
    """At alpha = 0 the host's activation is what it would be without it, however it is blended."""
    for topology, spatial in _usual(subject):
        kept = 10.0 * _inputs(CHANNELS, spatial)
        for algorithm in Algorithm:
            seed = Seed(modules.seeded(_builder(subject, topology, CHANNELS, spatial)))
            if algorithm == Algorithm.GATE:
                seed.gate = modules.seeded(lambda: Gate(CHANNELS))
            for stage in (Stage.BLENDING, Stage.TRAINING):
                # A copy, because a branch may write into what it is given, and the host would go on with that.
                joined = seed.join(kept.clone(), SeedSetting(stage, 0.0, algorithm, False))
                same = torch.allclose(joined, kept, rtol=0, atol=0 if stage == Stage.BLENDING else 1e-12)
                assert same, f"{algorithm.name}, {stage.name}: at alpha = 0 the activation changes"


@SUITE.check("gradients", after=("shape",))
def gradients(subject: Subject) -> None:
    """While it trains, a gradient reaches every parameter within two steps."""
    setting = SeedSetting(Stage.TRAINING, 0.0, Algorithm.ADD, False)
    for topology, spatial in _usual(subject):
        branch = modules.seeded(_builder(subject, topology, CHANNELS, spatial))
        seed, x, readout = Seed(branch), _inputs(CHANNELS, spatial), _inputs(CHANNELS, spatial).flip(0, 1)
        modules.check_gradients(branch, lambda step: (seed.join(x, setting) * readout).sum().sin())  # noqa: B023


def _cases(subject: Subject) -> Iterator[Case]:
    for topology, spatial in _usual(subject):
        build = partial(_branch, topology, CHANNELS, spatial)
        yield Case(_blueprint(subject), build, _inputs(CHANNELS, spatial))


modules.add_checks(SUITE, _cases, after="shape")


@SUITE.check("runtimes", after=("gradients", "stateless"))
def runtimes(subject: Subject) -> None:
    """Grown in hosts that train in another runtime, it takes the steps that it takes in plain PyTorch, to 1e-9."""
    for topology, spatial in _usual(subject):
        shape = next(shape for shape in stand_in.SHAPES[topology] if len(shape) == len(spatial) + 1)
        task = stand_in.task(shape, torch.float64)
        check_steps(stand_in.StandInHost(topology), task, {"it": _blueprint(subject)})
