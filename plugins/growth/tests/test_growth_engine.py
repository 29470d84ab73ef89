"""Hosts in the engine against the loop: the same epoch from the same state, and no host that notices the others."""

from __future__ import annotations

import copy
import logging
from types import SimpleNamespace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from esper_core.contracts.errors import PluginError
from esper_growth.actions import Algorithm
from esper_growth.blueprints.image import GatedNorm, SqueezeExcite
from esper_growth.blueprints.transformer import BiasedMixing, ChannelNorm, Mixing
from esper_growth.engine.graph import Graph, Unknown, shape_of
from esper_growth.engine.host import EngineHost, Trained
from esper_growth.engine.network import Network, Step, variants
from esper_growth.engine.shapes import Kind
from esper_growth.hosts.transformer import Patches, Positions, Residual
from esper_growth.loop import LoopHost
from esper_growth.model import SeedSetting
from esper_growth.one_by_one import EngineRuntime, LoopRuntime
from esper_growth.problems import Problems
from esper_growth.protocols import Split
from esper_growth.stages import Stage
from plugins.growth.tests.lives import NAMES, OF_SEQUENCES, SLOTS, Life

HOLD = SeedSetting(Stage.HOLDING, 1.0, Algorithm.ADD, False)
SUMMED = {"atol": 1e-9, "rtol": 1e-9}


@pytest.fixture
def make(make_runtime):
    """Return a factory of runtimes on a few samples."""

    def make(kind, dtype=torch.float32, host="pointwise", noise=1e-3, **options):
        context = {"samples": 60, "dtype": dtype, "host": host, "noise": noise}
        return make_runtime(kind, context=context, **{"batch_size": 20, **options})

    return make


@pytest.mark.parametrize(
    ("host", "names", "bound"),
    [("pointwise", NAMES, 0.0), ("pointwise", NAMES, 0.05), ("conv", NAMES, 0.0), ("transformer", OF_SEQUENCES, 0.0)],
    ids=str,
)
@settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**31 - 1))
def test_every_epoch_is_that_of_the_loop(make, host, names, bound, seed):
    """Every blueprint, stage and way of joining; 20 samples fill no whole number of chunks."""
    engine, loop = (make(kind, torch.float64, host=host, max_grad_norm=bound) for kind in (EngineRuntime, LoopRuntime))
    life, running = Life(seed, 3, engine, loop, names=names), [True] * 3
    life.do("start", range(3))
    for _ in range(7):
        life.go_on()
        assert torch.equal(engine.seed_parameters(), loop.seed_parameters())
        for ours, theirs in zip(engine.hosts, loop.hosts, strict=True):
            assert isinstance(ours, EngineHost), "the engine knows everything that is grown here"
            theirs.write(ours.read())
        for a, b in zip(*(r.train_epoch(life.settings, running) for r in (engine, loop)), strict=True):
            torch.testing.assert_close(a, b, **SUMMED)
        for ours, theirs in zip(engine.hosts, loop.hosts, strict=True):
            content = theirs.read()
            assert ours.read().keys() == content.keys()
            for name, entry in ours.read().items():
                for a, b in zip(entry, content[name], strict=True):
                    torch.testing.assert_close(a, torch.zeros_like(a) if b is None else b, **SUMMED, msg=name)
            theirs.write(ours.read())
        for a, b in zip(*(r.validate(life.settings, running, pairs=True) for r in (engine, loop)), strict=True):
            torch.testing.assert_close(a, b, equal_nan=True)


@pytest.mark.parametrize(("host", "names"), [("pointwise", NAMES), ("transformer", OF_SEQUENCES)], ids=str)
def test_no_host_notices_the_others_or_what_was_trained_before(make, host, names):
    def train(instances):
        runtime = make(EngineRuntime, host=host)
        runtime.start(instances)
        grown: list[dict[int, SeedSetting]] = [{} for _ in instances]
        for epoch in range(4):
            for env, instance in enumerate(instances):
                slot = (instance + epoch) % SLOTS
                if slot not in grown[env]:
                    runtime.germinate(env, slot, names[(instance + 2 * epoch) % len(names)], Algorithm.GATE)
                    grown[env][slot] = SeedSetting(
                        (Stage.TRAINING, Stage.HOLDING)[instance % 2], 0.7, Algorithm.GATE, False
                    )
            runtime.train_epoch(grown, [True] * len(instances))
            measured = runtime.validate(grown, [True] * len(instances), pairs=True)
        return {i: (runtime.weights(env), measured.loss[env]) for env, i in enumerate(instances)}

    together = train([0, 1, 2, 3])
    for instances in ([2], [3, 7, 0]):
        for instance, (weights, loss) in train(instances).items():
            if instance in together:
                assert all(torch.equal(value, together[instance][0][name]) for name, value in weights.items())
                assert torch.equal(loss, together[instance][1])


def grown(module):
    """Return a module whose parameters are no longer what they were at birth, zeros included."""
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    return module


IMAGES = {
    "conv3": lambda: nn.Conv2d(5, 6, 3, padding=1),
    "conv5": lambda: nn.Conv2d(5, 4, 5, padding="same", bias=False),
    "conv1": lambda: nn.Conv2d(5, 13, 1),
    "oblong": lambda: nn.Conv2d(5, 2, (1, 3), padding=(0, 1)),
    "tall": lambda: nn.Conv2d(5, 4, (3, 1), padding=(1, 0)),
    "taller than the image": lambda: nn.Conv2d(5, 6, (9, 3), padding=(4, 1)),
    "depthwise": lambda: nn.Conv2d(5, 5, 3, padding=1, groups=5, bias=False),
    "strided": lambda: nn.Conv2d(5, 6, 3, stride=2, padding=1),
    "strided conv1": lambda: nn.Conv2d(5, 3, 1, stride=2),
    "strided depthwise": lambda: nn.Conv2d(5, 5, 3, stride=(3, 2), padding=1, groups=5, bias=False),
    "norm": lambda: grown(nn.GroupNorm(5, 5)),
    "norm relu": lambda: nn.Sequential(grown(nn.GroupNorm(1, 5)), nn.ReLU()),
    "norm relu pool": lambda: nn.Sequential(grown(nn.GroupNorm(1, 5)), nn.ReLU(), nn.MaxPool2d(2)),
    "norm pool": lambda: nn.Sequential(nn.Conv2d(5, 5, 1), nn.GroupNorm(5, 5), nn.MaxPool2d(2)),
    "norm of what others read": lambda: Residual(grown(nn.GroupNorm(5, 5))),
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "sigmoid": nn.Sigmoid,
    "identity": nn.Identity,
    "gated norm": lambda: grown(GatedNorm(5)),
    "squeeze and excite": lambda: grown(SqueezeExcite(5, 2, 2)),
    "residual": lambda: Residual(nn.Sequential(nn.Conv2d(5, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 5, 1))),
}
CURVES = {
    "conv3": lambda: nn.Conv1d(12, 6, 3, padding=1),
    "strided": lambda: nn.Conv1d(12, 5, 5, stride=3, padding=2),
    "patches of a curve": lambda: nn.Conv1d(12, 5, 7, stride=7),
    "conv5 pool": lambda: nn.Sequential(nn.Conv1d(12, 3, 5, padding=2), nn.MaxPool1d(2)),
    "norm relu pool": lambda: nn.Sequential(grown(nn.GroupNorm(3, 12)), nn.ReLU(), nn.MaxPool1d(2)),
    "channel norm": ChannelNorm,
    "attention": lambda: Mixing(2),
    "biased attention": lambda: grown(BiasedMixing(1, 7)),
    "patches": lambda: Patches(7),
    "positions": lambda: grown(Positions(12, 7)),
}


class Framed(nn.Module):
    """A convolution in front of a layer, so that it has a gradient to hand on, and a classifier behind it."""

    def __init__(self, layer, sample):
        super().__init__()
        conv, mean = (nn.Conv2d, nn.AdaptiveAvgPool2d) if len(sample) == 3 else (nn.Conv1d, nn.AdaptiveAvgPool1d)
        front = nn.Sequential(conv(sample[0], sample[0], 1), layer)
        with torch.no_grad():
            channels = front(torch.zeros(1, *sample)).shape[1]
        self.layers = nn.Sequential(*front, mean(1), nn.Flatten(), nn.Linear(channels, 4))

    def forward(self, x):
        return self.layers(x)


@pytest.mark.parametrize(
    ("make_layer", "sample"),
    [
        *(
            pytest.param(make, (5, *size), id=f"{name} {size}")
            for name, make in IMAGES.items()
            for size in [(6, 4), (5, 7)]
        ),
        *(pytest.param(make, (12, 7), id=f"{name} of curves") for name, make in CURVES.items()),
        *(
            pytest.param(IMAGES["conv5"], (5, *size), id=f"conv5 {size}")
            for size in [(1, 9), (2, 3), (40, 6)]  # more than STRIP pixels in the last
        ),
        pytest.param(lambda: nn.Conv2d(5, 4, (3, 2), stride=(3, 2)), (5, 6, 4), id="patches"),
    ],
)
@pytest.mark.parametrize("samples", [3, 16, 21])
def test_every_layer_is_that_of_autograd(make_layer, sample, samples):
    torch.manual_seed(0)
    model = Framed(make_layer(), sample).double()
    inputs, targets = torch.randn(samples, *sample, dtype=torch.float64), torch.randint(4, (samples,))
    functional.cross_entropy(model(inputs), targets).backward()
    expected = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
    with torch.no_grad():
        logits = model(inputs)
    loss, right = functional.cross_entropy(logits, targets).item(), (logits.argmax(1) == targets).double().mean().item()

    graph, trained = Graph(), Trained.of(model)
    graph.part("model", model)
    graph.lower(model.layers, graph.input(shape_of(sample)))
    network = Network(graph, torch.float64, 1)
    split = Split(inputs, targets)
    found, shares = network.evaluate(split, [trained.part], [0.0], [False], 0)
    assert found == pytest.approx(loss, abs=1e-9) and shares == {(): pytest.approx(right)}
    step = Step(samples, 0.0, 0.0, 0.0)
    (gradient,) = network.train(split, torch.randperm(samples), [trained.part], [0], [True], [0.0], step)
    torch.testing.assert_close(gradient, expected, **SUMMED)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 4, 3, stride=2),
        nn.Conv2d(4, 4, 3, stride=3),
        nn.Conv2d(4, 4, 3),
        nn.Conv2d(4, 4, 2, padding="same"),
        nn.Conv2d(4, 4, 3, padding=1, groups=2),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(4, 4, 3, padding=2, dilation=2),
        nn.MaxPool2d(3),
        nn.MaxPool2d(2, stride=1),
        nn.MaxPool2d(2, ceil_mode=True),
        nn.AdaptiveAvgPool2d(2),
        nn.GroupNorm(2, 4, affine=False),
        nn.GELU(approximate="tanh"),
        nn.Linear(8, 8),
        nn.Flatten(),
        nn.Tanh(),
        type("Double", (nn.ReLU,), {"forward": lambda self, x: 2 * x})(),
        type("Louder", (GatedNorm,), {"forward": lambda self, x: 2 * x})(4),
    ],
    ids=lambda layer: str(layer).replace("\n", ""),
)
def test_what_the_engine_does_not_compute_it_does_not_take(layer):
    graph = Graph()
    graph.part("model", layer)
    with pytest.raises(Unknown):
        graph.lower(layer, graph.input((4, 8, 8)))


def test_of_equal_pixels_the_first_gets_the_gradient():
    """As in PyTorch, behind a norm or not."""
    torch.manual_seed(0)
    for layer in (nn.Sequential(nn.GroupNorm(2, 2), nn.MaxPool2d(2)), nn.MaxPool2d(2)):
        model = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), layer, nn.AdaptiveAvgPool2d(1), nn.Flatten()).double()
        with torch.no_grad():
            model[0].weight.copy_(torch.ones(()))
        inputs = torch.randint(0, 2, (9, 2, 6, 6)).double()
        targets = torch.arange(9) % 2
        functional.cross_entropy(model(inputs), targets).backward()
        expected = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
        graph, trained = Graph(), Trained.of(model)
        graph.part("model", model)
        graph.lower(model, graph.input((2, 6, 6)))
        step, split = Step(9, 0.0, 0.0, 0.0), Split(inputs, targets)
        network = Network(graph, torch.float64, 1)
        (gradient,) = network.train(split, torch.arange(9), [trained.part], [0], [True], [0.0], step)
        torch.testing.assert_close(gradient, expected, **SUMMED)


def test_variants_are_all_sets_of_at_most_so_many():
    assert variants([], 2) == [()]
    assert set(variants([0, 2, 5], 1)) == {(), (0,), (2,), (5,)}
    assert set(variants([0, 2, 5], 2)) == {(), (0,), (2,), (5,), (0, 2), (0, 5), (2, 5)}
    assert variants([0, 2, 5], 2)[0] == ()


def test_what_is_not_a_number_stays_so(make):
    """The governor has to see it, however the network rectifies."""
    runtime = make(EngineRuntime, host="conv")
    runtime.start([0, 1])
    runtime.hosts[0].trained["host"].part.weights[3] = torch.nan
    found = runtime.validate([{}, {}], [True, True], pairs=False)
    assert found.loss.isnan().tolist() == [True, False]
    runtime.train_epoch([{}, {}], [True, True])
    assert runtime.validate([{}, {}], [True, True], pairs=False).loss.isnan().tolist() == [True, False]


class Custom(nn.Module):
    """A module that nobody has heard of."""

    def __init__(self, channels):
        super().__init__()
        self.scale = nn.Parameter(torch.randn(channels, 1, 1))

    def forward(self, x):
        return (x * self.scale).cumsum(dim=-1)


STRANGE = SimpleNamespace(topologies=("image",), build=lambda channels, spatial: Custom(channels))


def test_a_host_goes_on_in_the_loop_once_it_has_a_layer_that_the_engine_does_not_know(make_context, caplog):
    """With the weights, the momentum, the seeds and the order of samples that it had."""
    parts = make_context(samples=60, dtype=torch.float64, noise=1e-3).parts
    config = make_context().parts and SimpleNamespace(batch_size=20, host_lr=0.05, momentum=0.9, max_grad_norm=0.0)
    kinds = [
        kind(config, Problems(parts["task"], parts["host"], {**parts["blueprint"], "strange": STRANGE}, 3))
        for kind in (EngineRuntime, LoopRuntime)
    ]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "'strange' trains in PyTorch's loop" in caplog.text and "Custom" in caplog.text
    seeds = [{}, {1: HOLD._replace(algorithm=Algorithm.GATE)}]
    for runtime in kinds:
        runtime.start([4, 5])
        runtime.germinate(1, 1, "conv_light", Algorithm.GATE)
        runtime.train_epoch(seeds, [True] * 2)
        runtime.germinate(1, 0, "strange", Algorithm.ADD)
        runtime.train_epoch([{}, {**seeds[1], 0: HOLD}], [True] * 2)
        runtime.remove(1, 1)
        runtime.germinate(1, 1, "conv_light", Algorithm.ADD)
    engine, loop = kinds
    assert [type(host) for host in engine.hosts] == [EngineHost, LoopHost]
    for env in range(2):
        for name, value in loop.weights(env).items():
            torch.testing.assert_close(engine.weights(env)[name], value, **SUMMED)


def test_a_host_that_the_engine_does_not_know_trains_in_the_loop_and_is_named_once(make_context, caplog):
    parts = make_context(samples=60).parts
    host = copy.copy(parts["host"])
    host.build = lambda *shape: nn.Sequential()
    plain = parts["host"].build

    def build(*shape):
        module = plain(*shape)
        module.segments[0].append(Custom(16))
        return module

    host.build = build
    config = SimpleNamespace(batch_size=20, host_lr=0.05, momentum=0.9, max_grad_norm=0.0)
    runtime = EngineRuntime(config, Problems(parts["task"], host, parts["blueprint"], 3))
    runtime.start([0, 1])
    assert all(isinstance(host, LoopHost) for host in runtime.hosts)
    assert len(caplog.records) == 1 and f"The host '{host.name}' trains in PyTorch's loop" in caplog.text


@pytest.mark.parametrize(
    ("lower", "says"),
    [
        (lambda *_: 7, "returned 7, which is no Node"),
        (lambda *_: [][0], "IndexError"),
        (
            lambda _, graph, x: graph.add(Kind.SUM, [x, graph.lower(nn.MaxPool2d(2), x)], x.shape),
            r"SUM does not make \(4, 8, 8\) of \(4, 8, 8\), \(4, 4, 4\)",
        ),
    ],
)
def test_a_method_that_cannot_say_what_it_is_made_of_is_named(lower, says):
    graph, layer = Graph(), type("Mute", (Custom,), {"lower": lower})(4)
    with pytest.raises(PluginError, match=rf"The method 'lower' of .*Mute .*{says}"):
        graph.lower(layer, graph.input((4, 8, 8)))


def test_a_branch_without_parameters_and_more_ways_of_growing_than_are_kept(make_context, monkeypatch):
    monkeypatch.setattr("esper_growth.engine.host.KEPT", 2)
    parts = make_context(samples=60, dtype=torch.float64, noise=1e-3).parts
    bare = SimpleNamespace(topologies=("image",), build=lambda channels, spatial: nn.ReLU())
    config = SimpleNamespace(batch_size=20, host_lr=0.05, momentum=0.9, max_grad_norm=0.0)
    problems = Problems(parts["task"], parts["host"], {**parts["blueprint"], "bare": bare}, 3)
    engine, loop = EngineRuntime(config, problems), LoopRuntime(config, problems)
    for runtime in (engine, loop):
        runtime.start([0])
        runtime.germinate(0, 0, "bare", Algorithm.ADD)
        runtime.germinate(0, 1, "norm", Algorithm.ADD)
        for slots in ((0,), (1,), (0, 1), (), (0,)):
            runtime.train_epoch([dict.fromkeys(slots, HOLD)], [True])
    assert len(engine._networks) == 2
    for name, value in loop.weights(0).items():
        torch.testing.assert_close(engine.weights(0)[name], value, **SUMMED)
