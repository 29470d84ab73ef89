"""Fused hosts against the loop: the same step from the same state, and no host that notices the others."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from esper_growth.actions import Algorithm
from esper_growth.blueprints.image import GatedNorm, SqueezeExcite
from esper_growth.blueprints.transformer import BiasedMixing, ChannelNorm, Mixing
from esper_growth.fused.fold import fold, host_by_host, stacked
from esper_growth.fused.runtime import FusedRuntime
from esper_growth.hosts.transformer import Patches, Positions, Residual
from esper_growth.model import Gate, SeedSetting
from esper_growth.one_by_one import LoopRuntime
from esper_growth.stages import Stage
from plugins.growth.tests.lives import NAMES, OF_SEQUENCES, SLOTS, Life


@pytest.fixture
def make(make_runtime):
    """Return a factory of runtimes on a few images."""

    def make(kind, dtype=torch.float32, precision="float32", host="pointwise", **options):
        context = {"samples": 60, "dtype": dtype, "host": host, "noise": 1e-3}
        options = {"batch_size": 20, "hosts_per_group": 3, **options}
        return make_runtime(kind, precision=precision, context=context, **options)

    return make


def synchronise(fused, loop) -> None:
    """Give the loop's hosts the weights and the momentum of the fused ones."""
    for env, run in enumerate(loop.hosts):
        run.write(fused.read(env))


def distance(fused, loop) -> float:
    found = [(fused.read(env), run.read()) for env, run in enumerate(loop.hosts)]
    return max(float((ours[n][0] - value).abs().max()) for ours, theirs in found for n, (value, _) in theirs.items())


@pytest.mark.parametrize(("host", "bound"), [("pointwise", 0.0), ("pointwise", 0.05), ("conv", 0.0)])
@settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**31 - 1))
def test_every_step_is_that_of_the_loop(make, host, bound, seed):
    hosts = 4
    fused, loop = (make(kind, torch.float64, host=host, max_grad_norm=bound) for kind in (FusedRuntime, LoopRuntime))
    life = Life(seed, hosts, fused, loop)
    life.do("start", range(hosts))
    split = loop.hosts[0].problem.task.train
    for _ in range(7):
        life.go_on()
        assert torch.equal(fused.seed_parameters(), loop.seed_parameters())
        for _ in range(1 + life.draw(range(2))):
            synchronise(fused, loop)
            rows = torch.stack([torch.randperm(60, generator=life.generator)[:20] for _ in range(hosts)], dim=1)
            for index, group in enumerate(fused.groups):
                envs = fused.environments(index)
                own, chosen = [life.settings[env] for env in envs], rows[:, envs]
                inputs, targets = split.inputs[chosen], split.targets[chosen]
                limits = {"lr": 0.05, "momentum": 0.9, "max_grad_norm": bound}
                group.step(inputs, targets, group.joins(own), life.frozen(envs), **limits)
            for env, run in enumerate(loop.hosts):
                for slot, setting in life.settings[env].items():
                    run.model.seeds[str(slot)].requires_grad_(not setting.frozen)
                chosen = rows[:, env]
                run.step(split.inputs[chosen], split.targets[chosen], life.settings[env])
            assert distance(fused, loop) < 1e-9
        synchronise(fused, loop)
        for a, b in zip(*(r.validate(life.settings, [True] * hosts, pairs=True) for r in (fused, loop)), strict=True):
            torch.testing.assert_close(a, b, equal_nan=True)


def test_gradient_health_is_that_of_the_loop(make):
    fused, loop = (make(kind, torch.float64, batch_size=60) for kind in (FusedRuntime, LoopRuntime))
    life = Life(1, 4, fused, loop)
    life.do("start", range(4))
    for _ in range(4):
        life.go_on()
        synchronise(fused, loop)
        ours, theirs = (runtime.train_epoch(life.settings, [True] * 4) for runtime in (fused, loop))
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    ("host", "names", "precision", "batch_size"),
    [
        ("pointwise", NAMES, "float32", 33),
        ("pointwise", NAMES, "bf16", 20),
        ("transformer", OF_SEQUENCES, "float32", 20),
    ],
)
def test_no_host_notices_the_others(make, host, names, precision, batch_size):
    """Bit for bit: alone, permuted, with strangers, in groups of any size, wherever its numbers lie in memory."""

    def train(instances, size):
        options = {"precision": precision, "host": host, "batch_size": batch_size}
        runtime = make(FusedRuntime, hosts_per_group=size, **options)
        runtime.start(instances)
        grown: list[dict[int, SeedSetting]] = [{} for _ in instances]
        for epoch in range(4):
            for env, instance in enumerate(instances):
                slot, algorithm = (instance + epoch) % SLOTS, Algorithm((instance + epoch // 2) % 3)
                if slot not in grown[env]:
                    runtime.germinate(env, slot, names[(instance + 2 * epoch) % len(names)], algorithm)
                    stage = (Stage.TRAINING, Stage.HOLDING)[(instance + epoch) % 2]
                    grown[env][slot] = SeedSetting(stage, 0.7, algorithm, False)
                elif instance % 2:
                    runtime.remove(env, slot)
                    del grown[env][slot]
            gradients = runtime.train_epoch(grown, [True] * len(instances))
            measured = runtime.validate(grown, [True] * len(instances), pairs=True)
        return {
            instance: (runtime.read(env), measured.loss[env], measured.contribution[env], gradients.norm[env])
            for env, instance in enumerate(instances)
        }

    together = train([0, 1, 2, 3, 4], 4)
    for instances, size in (([2], 4), ([4, 0], 1), ([1, 7, 8, 2, 9, 4], 8)):
        found = train(instances, size)
        for instance in found.keys() & together.keys():
            (content, *measured), (expected, *others) = found[instance], together[instance]
            assert content.keys() == expected.keys()
            for name, entry in content.items():
                assert all(map(torch.equal, entry, expected[name])), name
            assert all(torch.equal(a.nan_to_num(9.0), b.nan_to_num(9.0)) for a, b in zip(measured, others, strict=True))


class Custom(nn.Module):
    """A module nobody has heard of."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.randn(4, 1, 1))

    def forward(self, x):
        return (x * self.scale).cumsum(dim=-1)


def _grown(module):
    """Return a module whose parameters are no longer what they were at birth, zeros included."""
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    return module


@pytest.mark.parametrize(
    "make_module",
    [
        lambda: nn.Conv2d(4, 6, 3, padding=1, stride=2),
        lambda: nn.Conv2d(4, 8, 3, groups=2, dilation=2, padding=2, bias=False),
        lambda: nn.GroupNorm(2, 4),
        lambda: nn.GroupNorm(2, 4, affine=False),
        lambda: nn.Sequential(nn.GroupNorm(1, 4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 2, 1)),
        lambda: nn.Sequential(nn.Conv2d(4, 4, 2), nn.GroupNorm(2, 4), nn.ReLU(), nn.MaxPool2d(2)),
        lambda: nn.Sequential(nn.MaxPool2d(3), nn.Tanh()),
        lambda: nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 5, bias=False)),
        lambda: _grown(GatedNorm(4)),
        lambda: _grown(SqueezeExcite(4, 2, 2)),
        lambda: Gate(4),
        Custom,
        ChannelNorm,
        lambda: Mixing(2),
        lambda: _grown(BiasedMixing(2, 8)),
        lambda: Patches(4),
        lambda: Positions(12, 8),
        lambda: Residual(nn.Conv1d(12, 12, 1)),
    ],
)
def test_folding_equals_running_host_by_host(make_module, caplog):
    torch.manual_seed(0)
    modules = [make_module().double() for _ in range(3)]
    curves = isinstance(modules[0], (ChannelNorm, Mixing, BiasedMixing, Patches, Positions, Residual))
    x = torch.randn(2, 3, *((12, 8) if curves else (4, 8, 8)), dtype=torch.float64)
    names = [name for name, _ in modules[0].named_parameters()]
    stacked = {name: torch.stack([dict(m.named_parameters())[name].detach() for m in modules]) for name in names}
    folded = fold(modules[0])(x.flatten(1, 2), stacked, 3)
    apart = torch.stack([module(x[:, i]) for i, module in enumerate(modules)], dim=1)
    torch.testing.assert_close(folded, apart.flatten(1, 2))
    assert make_module is Custom or not caplog.records, "it has a fused form"


def test_a_module_without_a_fused_form_is_vectorised_where_it_can_be_and_named_once(caplog):
    class Choosy(Custom):
        """A module that looks at its numbers, which no vectorised call can."""

        def forward(self, x):
            return super().forward(x) if x.sum() > 0 else -x

    other = type("Unheard", (Custom,), {})
    fold(nn.Sequential(nn.ReLU(), other(), other()))
    assert ["Unheard has no fused form" in record.getMessage() for record in caplog.records] == [True]
    for kind in (Custom, Choosy):
        caplog.clear()
        modules = [kind().double() for _ in range(3)]
        x = torch.randn(2, 12, 8, 8, dtype=torch.float64)
        values = {"at.scale": torch.stack([module.scale.detach() for module in modules])}
        expected, run = host_by_host(modules[0], "at.")(x, values, 3), stacked(modules[0], "at.")
        for _ in range(2):
            torch.testing.assert_close(run(x, values, 3), expected)
        said = [record.getMessage() for record in caplog.records]
        assert ["Choosy has no fused form" in line for line in said] == [True] * (kind is Choosy)
