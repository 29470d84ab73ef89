"""The contract every blueprint must keep, and the sizes they promise."""

import pytest
import torch

from esper_growth.actions import Algorithm
from esper_growth.model import Seed, SeedSetting
from esper_growth.stages import Stage

C = 16
PARAMETERS = {
    "conv_light": 9 * C**2 + 2 * C,
    "attention": C * (C // 4) + (C // 4) * C + C,
    "norm": 2 * C + 1,
    "depthwise": C**2 + 11 * C,
    "bottleneck": 2 * C * 8 + 9 * 8**2 + 2 * C,
    "conv_small": C**2 + 2 * C,
    "conv_heavy": 18 * C**2 + 4 * C,
}
ZERO_AT_BIRTH = {"norm", "bottleneck"}


@pytest.fixture(params=sorted(PARAMETERS))
def name(request):
    return request.param


@pytest.fixture
def branch(name, make_context):
    torch.manual_seed(0)
    return make_context().parts["blueprint"][name].build(C, (4, 4))


def test_keeps_the_shape_at_every_size_a_host_offers(branch):
    for size in (8, 4, 2, 1):
        x = torch.randn(3, C, size, size)
        assert branch(x).shape == x.shape


@pytest.mark.parametrize("channels", [1, 2, 3, 6, 8, 12, 40])
def test_builds_for_any_width(name, channels, make_context):
    module = make_context().parts["blueprint"][name].build(channels, (4, 4))
    x = torch.randn(2, channels, 4, 4)
    assert module(x).shape == x.shape


def test_has_the_declared_number_of_parameters(name, branch):
    assert sum(p.numel() for p in branch.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_alpha_zero_is_the_identity(branch, algorithm):
    seed = Seed(branch)
    if algorithm == Algorithm.GATE:
        from esper_growth.model import Gate

        seed.gate = Gate(C)
    x = torch.randn(3, C, 4, 4)
    assert torch.equal(seed.join(x, SeedSetting(Stage.BLENDING, 0.0, algorithm, False)), x)


def test_birth(name, branch):
    x = torch.randn(3, C, 4, 4)
    if name in ZERO_AT_BIRTH:
        assert float(branch(x).detach().abs().max()) == 0.0
    elif name == "attention":
        assert float(branch(x).detach().abs().max()) < 0.05 * float(x.abs().max())


def test_every_parameter_gets_a_gradient_within_two_steps(branch):
    optimizer = torch.optim.SGD(branch.parameters(), lr=0.05)
    reached = {key: 0.0 for key, _ in branch.named_parameters()}
    for _ in range(2):
        x = torch.randn(8, C, 4, 4)
        optimizer.zero_grad()
        (x + branch(x)).sin().sum().backward()
        for key, parameter in branch.named_parameters():
            reached[key] = max(reached[key], float(parameter.grad.abs().max()))
        optimizer.step()
    assert all(largest > 1e-8 for largest in reached.values()), reached


def test_state_makes_the_round_trip(name, branch, make_context):
    torch.manual_seed(1)
    other = make_context().parts["blueprint"][name].build(C, (4, 4))
    other.load_state_dict(branch.state_dict())
    x = torch.randn(2, C, 4, 4)
    assert torch.equal(branch(x), other(x))


def test_has_no_buffers(branch):
    assert list(branch.buffers()) == [], "statistics that live outside the parameters break static comparison"
