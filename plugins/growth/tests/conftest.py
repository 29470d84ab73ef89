"""Small growth environments: real digits, few of them, so that an episode takes well under a second."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from attrs import evolve

from esper_core import SlotConfig
from esper_core.contracts.protocols import BuildContext
from esper_core.registry.references import load_reference
from esper_growth import plugin
from esper_growth.config import (
    ConvConfig,
    DigitsConfig,
    GrowthConfig,
    Mnist1dConfig,
    PointwiseConfig,
    SyntheticConfig,
    TransformerConfig,
)
from esper_growth.describe import describe
from esper_growth.hosts.conv import ConvHost
from esper_growth.hosts.transformer import TransformerHost
from esper_growth.hosts.uniform import PointwiseHost
from esper_growth.make import growth
from esper_growth.masks import LifecycleMasks
from esper_growth.problems import Problems
from esper_growth.tasks.digits import digits
from esper_growth.tasks.mnist1d import mnist1d
from esper_growth.tasks.synthetic import synthetic

Make = Callable[..., Any]


FLAT = SimpleNamespace(get=lambda instances: {instance: [0.3] for instance in instances})
"""Static curves of hosts that stay at 0.3: training real ones would take as long as a test."""


@pytest.fixture(autouse=True, scope="session")
def curve_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep static curves away from the user's cache."""
    patch = pytest.MonkeyPatch()
    patch.setenv("ESPER_CACHE", str(tmp_path_factory.mktemp("curves")))


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def blueprints():
    """Return every blueprint of the plugin, by label."""
    made = {}
    for spec in (spec for spec in plugin.esper_components() if spec.kind == "blueprint"):
        config = load_reference(spec.config, "it")() if spec.config else None
        made[spec.name.replace("-", "_")] = load_reference(spec.factory, "it")(config, None)
    return made


@cache
def task_and_host(host, samples, dtype, device, noise):
    """Return a task and a host; `conv` sees made-up images, `transformer` curves.

    A pool hands the gradient of equal pixels to the first, and a blank background has many; where matrix products
    round them apart, as MKL's do in float64, it is another one. A little `noise` leaves no equals.
    """
    context: Any = BuildContext(SlotConfig.for_grid(1, 1), None, None, None, 0, 1.0, 1, 0, device, dtype)
    if host == "conv":
        task, built = synthetic(SyntheticConfig(samples=samples, size=16), context), ConvHost(ConvConfig(), context)
    elif host == "transformer":
        task = mnist1d(Mnist1dConfig(samples=200, train_samples=samples), context)
        built = TransformerHost(TransformerConfig(), context)
    else:
        task, built = digits(DigitsConfig(train_samples=samples), context), PointwiseHost(PointwiseConfig(), context)
    if noise:
        train = task.train
        drawn = torch.randn(train.inputs.shape, dtype=dtype, generator=torch.Generator().manual_seed(0))
        task = evolve(task, train=evolve(train, inputs=train.inputs + noise * drawn))
    return {"task": task, "host": built}


@pytest.fixture(scope="session")
def make_context(blueprints: dict[str, Any]) -> Make:
    """Return a factory of build contexts whose parts hold task, host and blueprints."""

    def make(config=None, *, slots=3, envs=2, seed=0, precision="float32", **chosen):
        chosen = {"host": "pointwise", "samples": 100, "dtype": torch.float32, "device": "cpu", "noise": 0.0} | chosen
        grid = SlotConfig.for_grid(1, slots)
        known = describe(config or GrowthConfig(), grid)
        # What lies on a device that is not there is not kept for the next test.
        make_parts = task_and_host if chosen["device"] == "cpu" else task_and_host.__wrapped__
        parts = {**make_parts(*chosen.values()), "blueprint": dict(blueprints)}
        where = (chosen["device"], chosen["dtype"], precision, parts)
        return BuildContext(grid, known.actions, known.state, None, 0, 0.995, envs, seed, *where)

    return make


@pytest.fixture
def make_environment(make_context: Make, request: pytest.FixtureRequest) -> Make:
    """Return a factory of environments, with real static curves where `curves` is None; the rest are options."""

    def make(*, slots=3, envs=2, samples=100, seed=0, parts=None, curves=FLAT, **options):
        config = GrowthConfig(**{"epochs": 12, "batch_size": 50, "workers": 1, **options})
        context = make_context(config, slots=slots, envs=envs, samples=samples, seed=seed)
        environment = growth(config, evolve(context, parts={**context.parts, **(parts or {})}))
        request.addfinalizer(environment.close)
        environment.curves = curves or environment.curves
        return environment

    return make


@pytest.fixture
def make_runtime(make_context: Make, request: pytest.FixtureRequest) -> Make:
    """Return a factory of host runtimes from their class, with options of growth."""

    def make(kind, *, slots=3, precision="float32", context=None, **options):
        parts = make_context(slots=slots, **(context or {})).parts
        config = GrowthConfig(**{"batch_size": 50, **options})
        runtime = kind(config, Problems(parts["task"], parts["host"], parts["blueprint"], slots), precision)
        request.addfinalizer(runtime.close)
        return runtime

    return make


@pytest.fixture
def act() -> Make:
    """Return a function that writes actions; a head is one value, or one per environment, or neutral."""

    def make(environment, **heads):
        given = {head.name: heads.get(head.name, head.neutral) for head in environment.actions.heads}
        envs = environment.num_envs
        return {n: torch.tensor(v if isinstance(v, list) else [int(v)] * envs) for n, v in given.items()}

    return make


@pytest.fixture
def follow(act: Make) -> Make:
    """Return a function that plays epochs by a plan, heads by epoch, and returns the last state and all events."""

    def follow(environment, epochs, plan):
        events = []
        for epoch in range(epochs):
            state, *_, info = environment.step(act(environment, **plan.get(epoch, {})))
            events += info["events"]
        return state, events

    return follow


@pytest.fixture
def play(make_context: Make) -> Make:
    """Return a function that lets a rule play an episode, and returns states, actions, rewards and events."""

    def play(environment, kind, seed=0, **options):
        context = evolve(make_context(), parts=environment._parts, actions=environment.actions)
        rule, masks = kind(None, context), LifecycleMasks(None, context)
        generator = torch.Generator().manual_seed(seed)
        state, _ = environment.reset(seed=seed, options=options)
        rule.reset(environment.num_envs)
        states, actions, rewards, events = [state], [], [], []
        for _ in range(environment.horizon):
            actions.append(rule(state, masks(state), generator))
            state, reward, *_, info = environment.step(actions[-1])
            states.append(state)
            rewards.append(reward)
            events += info["events"]
        return states, actions, rewards, events

    return play
