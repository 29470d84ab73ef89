"""The host `transformer`, the blueprints for sequences, and image hosts along one axis."""

import pytest
import torch
from attrs import evolve

from esper_core.contracts.errors import UserError
from esper_growth.actions import Algorithm
from esper_growth.blueprints import sequence
from esper_growth.blueprints.transformer import BiasedMixing, Mixing
from esper_growth.config import (
    ConvConfig,
    GrowthConfig,
    LoraConfig,
    LoraLargeConfig,
    Mnist1dConfig,
    PointwiseConfig,
    TransformerConfig,
)
from esper_growth.fused.runtime import FusedRuntime
from esper_growth.hosts.conv import ConvHost
from esper_growth.hosts.transformer import TransformerHost
from esper_growth.hosts.uniform import PointwiseHost
from esper_growth.make import growth
from esper_growth.masks import legal_blueprints
from esper_growth.model import SeedSetting
from esper_growth.stages import Stage
from esper_growth.tasks.mnist1d import mnist1d

GROWN = (("flex_attention", Algorithm.ADD), ("mlp", Algorithm.GATE), ("lora", Algorithm.MULTIPLY))
BLUEPRINTS = {
    "lora": sequence.lora(LoraConfig(), None),
    "lora_large": sequence.lora_large(LoraLargeConfig(), None),
    "mlp_small": sequence.mlp_small(None, None),
    "mlp": sequence.mlp(None, None),
    "flex_attention": sequence.flex_attention(None, None),
}


@pytest.fixture
def make_parts(make_context):
    def make(host):
        context = make_context()
        task = mnist1d(Mnist1dConfig(samples=200, train_samples=100), context)
        return evolve(context, parts={"task": task, "host": host, "blueprint": context.parts["blueprint"] | BLUEPRINTS})

    return make


def test_blueprints_are_legal_where_they_belong(make_parts):
    def legal(context):
        labels = context.actions.head("blueprint").labels
        return {name for name, ok in zip(labels, legal_blueprints(context), strict=True) if ok}

    assert legal(make_parts(TransformerHost(TransformerConfig(), None))) == {*BLUEPRINTS, "attention", "norm"}
    curves = make_parts(PointwiseHost(PointwiseConfig(), None))
    every = {"conv_light", "conv_small", "conv_heavy", "depthwise", "bottleneck", "norm", "attention"}
    assert legal(curves) == every
    curves.parts["blueprint"]["conv_light"] = evolve(curves.parts["blueprint"]["conv_light"], axes=(2,))
    assert legal(curves) == every - {"conv_light"}, "a blueprint for two axes is illegal along one"


def test_a_host_that_cannot_take_the_task_is_refused(make_parts):
    with pytest.raises(UserError, match="1 axes"):
        growth(GrowthConfig(), make_parts(ConvHost(ConvConfig(), None)))
    with pytest.raises(UserError, match="patches of 7"):
        TransformerHost(TransformerConfig(patch=7), None).build(3, (1, 40), 10)


def test_attention_equals_pytorchs():
    x = torch.randn(5, 3, 2, 4, 6, dtype=torch.float64)
    query, key, value = (x[:, part].transpose(2, 3) for part in range(3))
    expected = torch.nn.functional.scaled_dot_product_attention(query, key, value)
    torch.testing.assert_close(Mixing(2)(x.flatten(1, 3)), expected.transpose(2, 3).flatten(1, 2))


def test_a_bias_by_distance_draws_attention_there():
    mixing = BiasedMixing(1, 5)
    with torch.no_grad():
        mixing.by_distance[0, 4 + 1] = 50.0
    values = torch.arange(5.0).expand(1, 1, 5)
    found = mixing(torch.cat([torch.zeros(1, 2, 5), values], dim=1)).detach()[0, 0]
    torch.testing.assert_close(found[:4], torch.tensor([1.0, 2.0, 3.0, 4.0]), msg="each position sees the next one")


def test_no_transformer_notices_the_others(make_parts, operations):
    context = make_parts(TransformerHost(TransformerConfig(), None))
    parts, config = context.parts, GrowthConfig(kernels=operations.name, batch_size=20, hosts_per_group=3)
    found = []
    for instances in ([0, 1, 2], [1], [2, 1]):
        runtime = FusedRuntime(config, parts["task"], parts["host"], parts["blueprint"], 3)
        runtime.start(instances)
        settings = [{} for _ in instances]
        for env in range(len(instances)):
            for slot, (label, algorithm) in enumerate(GROWN):
                runtime.germinate(env, slot, label, algorithm)
                settings[env][slot] = SeedSetting(Stage.BLENDING, 0.5, algorithm, False)
        for _ in range(2):
            runtime.train_epoch(settings, [True] * len(instances))
        found.append(runtime.weights(instances.index(1)))
        runtime.close()
    for other in found[1:]:
        assert [name for name, value in found[0].items() if not torch.equal(value, other[name])] == []
