"""What curves bring: the blueprints of sequences, attention, and blueprints and hosts for one axis."""

import pytest
import torch
from attrs import evolve

from esper_core.contracts.errors import UserError
from esper_growth.blueprints.transformer import BiasedMixing, Mixing
from esper_growth.config import ConvConfig, GrowthConfig, PointwiseConfig, TransformerConfig
from esper_growth.hosts.conv import ConvHost
from esper_growth.hosts.transformer import TransformerHost
from esper_growth.hosts.uniform import PointwiseHost
from esper_growth.make import growth
from esper_growth.masks import legal_blueprints


def of_curves(make_context, host):
    context = make_context(host="transformer")
    context.parts["host"] = host
    return context


def test_blueprints_are_legal_where_they_belong(make_context):
    def legal(context):
        labels = context.actions.head("blueprint").labels
        return {name for name, ok in zip(labels, legal_blueprints(context), strict=True) if ok}

    of_sequences = {"lora", "lora_large", "mlp_small", "mlp", "flex_attention", "attention", "norm"}
    assert legal(make_context(host="transformer")) == of_sequences
    curves = of_curves(make_context, PointwiseHost(PointwiseConfig(), None))
    every = {"conv_light", "conv_small", "conv_heavy", "depthwise", "bottleneck", "norm", "attention"}
    assert legal(curves) == every
    curves.parts["blueprint"]["conv_light"] = evolve(curves.parts["blueprint"]["conv_light"], axes=(2,))
    assert legal(curves) == every - {"conv_light"}, "a blueprint for two axes is illegal along one"


def test_a_host_that_cannot_take_the_task_is_refused(make_context):
    with pytest.raises(UserError, match="1 axes"):
        growth(GrowthConfig(), of_curves(make_context, ConvHost(ConvConfig(), None)))
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
