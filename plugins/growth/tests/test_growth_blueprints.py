"""The sizes that blueprints promise, where they are legal, and what they are at birth; the rest is conformance."""

import pytest
import torch

from esper_growth.actions import BLUEPRINT_TOPOLOGY
from esper_growth.protocols import on

C, L = 16, 10
MAP = C * (C // 4)
SIZES = {
    ("conv_light", "image"): 9 * C**2 + 2 * C,
    ("attention", "image"): 2 * MAP + C,
    ("norm", "image"): 2 * C + 1,
    ("depthwise", "image"): C**2 + 11 * C,
    ("bottleneck", "image"): 2 * C * 8 + 9 * 8**2 + 2 * C,
    ("conv_small", "image"): C**2 + 2 * C,
    ("conv_heavy", "image"): 18 * C**2 + 4 * C,
    ("norm", "sequence"): 2 * C + 1,
    ("attention", "sequence"): 4 * C**2 + C,
    ("lora", "sequence"): 2 * 8 * C,
    ("lora_large", "sequence"): 2 * 32 * C,
    ("mlp_small", "sequence"): 4 * C**2 + 3 * C,
    ("mlp", "sequence"): 8 * C**2 + 5 * C,
    ("flex_attention", "sequence"): 4 * C**2 + C + 4 * (2 * L - 1),
}
ZERO_AT_BIRTH = {("norm", "image"), ("bottleneck", "image"), *(key for key in SIZES if key[1] == "sequence")}


def test_every_label_has_a_component_that_is_legal_where_it_says(blueprints):
    assert {(label, t) for label, topologies in BLUEPRINT_TOPOLOGY.items() for t in topologies} == set(SIZES)
    assert {(label, t) for label, made in blueprints.items() for t in made.topologies} == set(SIZES)


@pytest.mark.parametrize(("label", "topology"), SIZES)
def test_has_the_declared_number_of_parameters_and_birth(blueprints, label, topology):
    spatial = (4, 4) if topology == "image" else (L,)
    branch = on(blueprints[label], topology).build(C, spatial)
    assert sum(p.numel() for p in branch.parameters()) == SIZES[label, topology]
    x = torch.randn(3, C, *spatial)
    size = float(branch(x).detach().abs().max() / x.abs().max())
    if (label, topology) in ZERO_AT_BIRTH:
        assert size == 0.0
    elif label == "attention":
        assert 0.0 < size < 0.05
    else:
        assert size > 0.05


@pytest.mark.parametrize("spatial", [(L,), (L, L)])
def test_attention_on_images_is_that_of_channels_however_many_axes_they_have(blueprints, spatial):
    branch = on(blueprints["attention"], "image").build(C, spatial)
    assert sum(p.numel() for p in branch.parameters()) == SIZES["attention", "image"]
