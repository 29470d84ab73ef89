"""One host with seeds: blends, isolation while training, and counterfactuals against brute force."""

import itertools

import pytest
import torch
from torch.nn import functional

from esper_growth.actions import Algorithm
from esper_growth.model import Gate, GrownHost, Seed, SeedSetting, capped
from esper_growth.stages import Stage

N = 4


@pytest.fixture
def context(make_context):
    return make_context(slots=N)


@pytest.fixture
def grown(context):
    torch.manual_seed(0)
    return GrownHost(context.parts["host"].build(N, (1, 8, 8), 10))


@pytest.fixture
def x(context):
    return context.parts["task"].train.inputs[:32]


@pytest.fixture
def plant(grown, context):
    def plant(slot, name="conv_light", gate=False):
        seed = grown.seeds[str(slot)] = Seed(context.parts["blueprint"][name].build(16, (4, 4)))
        seed.gate = Gate(16) if gate else None
        return seed

    return plant


@pytest.fixture
def gradients(grown, context, x):
    def gradients(settings):
        grown.zero_grad()
        functional.cross_entropy(grown(x, settings), context.parts["task"].train.targets[:32]).backward()
        return [p.grad.clone() for p in grown.host.parameters()]

    return gradients


@pytest.mark.parametrize("name", ["conv_light", "attention", "norm"])
@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_a_training_seed_leaves_output_and_host_gradients_bit_identical(grown, x, plant, gradients, name, algorithm):
    bare, bare_gradients = grown(x, {}), gradients({})
    seed = plant(1, name, gate=algorithm == Algorithm.GATE)
    settings = {1: SeedSetting(Stage.TRAINING, 0.0, algorithm, False)}
    assert torch.equal(grown(x, settings), bare) and all(map(torch.equal, bare_gradients, gradients(settings)))
    assert any(float(p.grad.abs().max()) > 0 for p in seed.parameters()), "the seed itself must learn"


def test_a_germinated_seed_is_not_run_at_all(grown, x, plant):
    bare, seed = grown(x, {}), plant(1)
    seed.branch.register_forward_hook(lambda *_: pytest.fail("a germinated seed was run"))
    assert torch.equal(grown(x, {1: SeedSetting(Stage.GERMINATED, 0.0, Algorithm.ADD, False)}), bare)


def test_from_blending_on_gradients_flow_through_the_seed_to_the_host(plant, gradients):
    bare, seed = gradients({}), plant(1)
    blended = gradients({1: SeedSetting(Stage.BLENDING, 0.3, Algorithm.ADD, False)})
    assert not any(torch.equal(a, b) for a, b in zip(bare[:2], blended[:2], strict=True))
    assert all(float(p.grad.abs().max()) > 0 for p in seed.parameters())


def test_blends_are_their_formulas():
    torch.manual_seed(0)
    seed = Seed(torch.nn.Conv2d(4, 4, 3, padding=1))
    seed.gate = Gate(4)
    h = torch.randn(5, 4, 3, 3)
    f, gate = capped(seed.branch(h), h), seed.gate(h)
    assert gate.shape == (5, 1, 1, 1) and bool(((gate > 0) & (gate < 1)).all())
    expected = {
        Algorithm.ADD: h + 0.4 * f,
        Algorithm.MULTIPLY: h * (1 + 0.4 * torch.tanh(f)),
        Algorithm.GATE: h + 0.4 * gate * f,
    }
    for algorithm, value in expected.items():
        torch.testing.assert_close(seed.join(h, SeedSetting(Stage.HOLDING, 0.4, algorithm, False)), value)


@pytest.mark.parametrize("scale", [0.0, 0.1, 1.0, 50.0])
def test_a_branch_is_capped_at_the_rms_of_what_it_joins(scale):
    torch.manual_seed(0)
    h, f = torch.randn(7, 4, 3, 3), scale * torch.randn(7, 4, 3, 3)
    rms = lambda t: t.square().mean((1, 2, 3)).sqrt()  # noqa: E731
    limited = capped(f, h)
    assert bool((rms(limited) <= rms(h) * (1 + 1e-5)).all())
    small = rms(f) <= rms(h)
    torch.testing.assert_close(limited[small], f[small])


@pytest.mark.parametrize("pairs", [False, True])
def test_ablation_against_one_forward_pass_per_variant(grown, x, plant, pairs):
    torch.manual_seed(1)
    stages, settings = (Stage.BLENDING, Stage.TRAINING, Stage.FOSSILIZED, Stage.HOLDING), {}
    for slot, stage in enumerate(stages):
        plant(slot, ("conv_light", "depthwise")[slot % 2])
        settings[slot] = SeedSetting(stage, 0.6 if slot > 1 else 0.0, Algorithm.ADD, False)
    logits, variants = grown.ablate(x, settings, pairs)
    switchable = [2, 3]
    expected = {(), *((s,) for s in switchable)} | (set(itertools.combinations(switchable, 2)) if pairs else set())
    assert set(variants) == expected and len(variants) == len(expected)
    for row, off in zip(logits, variants, strict=True):
        kept = {slot: setting for slot, setting in settings.items() if slot not in off}
        torch.testing.assert_close(row, grown(x, kept), rtol=1e-5, atol=1e-5)
