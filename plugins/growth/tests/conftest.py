"""Small growth environments: real digits, few of them, so that an episode takes well under a second."""

from __future__ import annotations

from collections.abc import Callable
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
from esper_growth.tasks.digits import digits
from esper_growth.tasks.synthetic import synthetic

BLUEPRINTS = ("conv_light", "attention", "norm", "depthwise", "bottleneck", "conv_small", "conv_heavy")
HOSTS: dict[str, Callable[[BuildContext], Any]] = {
    "pointwise": lambda context: PointwiseHost(PointwiseConfig(), context),
    "conv": lambda context: ConvHost(ConvConfig(), context),
}
CONFIGS = {"attention": AttentionConfig(), "bottleneck": BottleneckConfig()}


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


@pytest.fixture(scope="session")
def make_context() -> Callable[..., BuildContext]:
    """Return a factory of build contexts whose parts hold task, host and blueprints; `conv` sees made-up images."""

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
    ) -> BuildContext:
        grid = SlotConfig.for_grid(1, slots)
        description = describe(config or GrowthConfig(), grid)
        context = BuildContext(
            slots=grid,
            actions=description.actions,
            state_spec=description.state,
            feature_schema=None,
            latent_dim=0,
            gamma=0.995,
            num_envs=envs,
            seed=seed,
            device=device,
            dtype=dtype,
            precision=precision,
        )
        if host == "conv":
            task = synthetic(SyntheticConfig(samples=samples, size=16), context)
        else:
            task = digits(DigitsConfig(train_samples=samples), context)
        parts = {
            "task": task,
            "host": HOSTS[host](context),
            "blueprint": {name: getattr(image, name)(CONFIGS.get(name), context) for name in BLUEPRINTS},
        }
        return evolve(context, parts=parts)

    return make


@pytest.fixture
def make_environment(make_context: Callable[..., BuildContext]) -> Any:
    """Return a factory of environments; keyword arguments that are no context's are options of growth."""
    made: list[GrowthEnvironment] = []

    def make(*, slots: int = 3, envs: int = 2, samples: int = 100, seed: int = 0, **options: Any) -> GrowthEnvironment:
        config = GrowthConfig(**{"epochs": 12, "batch_size": 50, "workers": 1, **options})
        made.append(growth(config, make_context(config, slots=slots, envs=envs, samples=samples, seed=seed)))
        return made[-1]

    yield make
    for environment in made:
        environment.close()


@pytest.fixture
def act() -> Callable[..., dict[str, torch.Tensor]]:
    """Return a function that writes the same action for every environment; heads not named are neutral."""

    def make(environment: GrowthEnvironment, **heads: int) -> dict[str, torch.Tensor]:
        return {
            head.name: torch.full((environment.num_envs,), int(heads.get(head.name, head.neutral)))
            for head in environment.actions.heads
        }

    return make
