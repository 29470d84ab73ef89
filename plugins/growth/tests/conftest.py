"""Small growth environments: real digits, few of them, so that an episode takes well under a second."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
import torch
from attrs import evolve

from esper_core import SlotConfig
from esper_core.contracts.protocols import BuildContext
from esper_growth.blueprints import image
from esper_growth.config import (
    AttentionConfig,
    BottleneckConfig,
    ConvConfig,
    DigitsConfig,
    GrowthConfig,
    PointwiseConfig,
    SyntheticConfig,
)
from esper_growth.describe import describe
from esper_growth.environment import GrowthEnvironment
from esper_growth.fused.compiled import Compiled
from esper_growth.fused.compiler import NoCompiler
from esper_growth.fused.operations import Operations
from esper_growth.fused.stock import Stock
from esper_growth.hosts.conv import ConvHost
from esper_growth.hosts.uniform import PointwiseHost
from esper_growth.make import growth
from esper_growth.masks import LifecycleMasks
from esper_growth.tasks.digits import digits
from esper_growth.tasks.synthetic import synthetic

BLUEPRINTS = ("conv_light", "attention", "norm", "depthwise", "bottleneck", "conv_small", "conv_heavy")
CONFIGS = {"attention": AttentionConfig(), "bottleneck": BottleneckConfig()}
Make = Callable[..., Any]


class Flat:
    """Static curves of hosts that stay at 0.3: training real ones would take as long as a test."""

    def get(self, instances: list[int]) -> dict[int, list[float]]:
        return {instance: [0.3] for instance in instances}


FLAT = Flat()


@pytest.fixture(autouse=True, scope="session")
def curve_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep static curves away from the user's cache."""
    patch = pytest.MonkeyPatch()
    patch.setenv("ESPER_CACHE", str(tmp_path_factory.mktemp("curves")))


@pytest.fixture(params=["compiled", "torch"])
def operations(request: pytest.FixtureRequest) -> Operations:
    """Return the fused runtime's operations, in both versions."""
    if request.param == "torch":
        return Stock()
    try:
        return Compiled()
    except NoCompiler as error:
        pytest.skip(str(error))


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@cache
def parts_of(host: str, samples: int, dtype: torch.dtype, device: str, noise: float) -> dict[str, Any]:
    """Return task, host and blueprints; `conv` sees made-up images.

    A pool hands the gradient of equal pixels to the first, and a blank background has many; where matrix products
    round them apart, as MKL's do in float64, it is another one. A little `noise` leaves no equals.
    """
    context: Any = BuildContext(SlotConfig.for_grid(1, 1), None, None, None, 0, 1.0, 1, 0, device, dtype)  # type: ignore[arg-type]
    if host == "conv":
        task = synthetic(SyntheticConfig(samples=samples, size=16), context)
        built: Any = ConvHost(ConvConfig(), context)
    else:
        task, built = digits(DigitsConfig(train_samples=samples), context), PointwiseHost(PointwiseConfig(), context)
    if noise:
        train = task.train
        drawn = torch.randn(train.inputs.shape, dtype=dtype, generator=torch.Generator().manual_seed(0))
        task = evolve(task, train=evolve(train, inputs=train.inputs + noise * drawn))
    blueprints = {name: getattr(image, name)(CONFIGS.get(name), context) for name in BLUEPRINTS}
    return {"task": task, "host": built, "blueprint": blueprints}


@pytest.fixture(scope="session")
def make_context() -> Make:
    """Return a factory of build contexts whose parts hold task, host and blueprints."""

    def make(
        config: GrowthConfig | None = None,
        *,
        slots: int = 3,
        envs: int = 2,
        samples: int = 100,
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
        precision: str = "float32",
        host: str = "pointwise",
        noise: float = 0.0,
    ) -> BuildContext:
        grid = SlotConfig.for_grid(1, slots)
        known = describe(config or GrowthConfig(), grid)
        # What lies on a device that is not there is not kept for the next test.
        made = parts_of if device == "cpu" else parts_of.__wrapped__
        parts = made(host, samples, dtype, device, noise)
        parts = {**parts, "blueprint": dict(parts["blueprint"])}
        context = (grid, known.actions, known.state, None, 0, 0.995, envs, seed, device, dtype, precision, parts)
        return BuildContext(*context)

    return make


@pytest.fixture
def make_environment(make_context: Make) -> Iterator[Make]:
    """Return a factory of environments, with real static curves where `curves` is None; the rest are options."""
    made: list[GrowthEnvironment] = []

    def make(
        *,
        slots: int = 3,
        envs: int = 2,
        samples: int = 100,
        seed: int = 0,
        parts: Any = None,
        curves: Any = FLAT,
        **options: Any,
    ) -> GrowthEnvironment:
        config = GrowthConfig(**{"epochs": 12, "batch_size": 50, "workers": 1, **options})
        context = make_context(config, slots=slots, envs=envs, samples=samples, seed=seed)
        made.append(growth(config, evolve(context, parts={**context.parts, **(parts or {})})))
        made[-1].curves = curves or made[-1].curves
        return made[-1]

    yield make
    for environment in made:
        environment.close()


@pytest.fixture
def make_runtime(make_context: Make) -> Iterator[Make]:
    """Return a factory of host runtimes from their class, with options of growth."""
    made: list[Any] = []

    def make(
        kind: Any, *, slots: int = 3, precision: str = "float32", context: dict[str, Any] | None = None, **options: Any
    ) -> Any:
        parts = make_context(slots=slots, **(context or {})).parts
        config = GrowthConfig(**{"batch_size": 50, **options})
        made.append(kind(config, parts["task"], parts["host"], parts["blueprint"], slots, precision))
        return made[-1]

    yield make
    for runtime in made:
        runtime.close()


@pytest.fixture
def act() -> Make:
    """Return a function that writes actions; a head is one value, or one per environment, or neutral."""

    def make(environment: GrowthEnvironment, **heads: Any) -> dict[str, torch.Tensor]:
        def values(head: Any) -> torch.Tensor:
            given = heads.get(head.name, head.neutral)
            return torch.tensor(given if isinstance(given, list) else [int(given)] * environment.num_envs)

        return {head.name: values(head) for head in environment.actions.heads}

    return make


@pytest.fixture
def play(make_context: Make) -> Make:
    """Return a function that lets the rule of a class play an episode.

    It returns every state, every action, every reward, and the events of all steps.
    """

    def play(environment: GrowthEnvironment, kind: Any, seed: int = 0, **options: Any) -> Any:
        context = evolve(make_context(), parts=environment._parts, actions=environment.actions)
        rule, masks, generator = kind(None, context), LifecycleMasks(None, context), torch.Generator()
        generator.manual_seed(seed)
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
