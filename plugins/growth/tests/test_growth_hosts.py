"""The host `conv`: the peer's shape, at any number of slots."""

import pytest
import torch
from torch import nn

from esper_growth.config import ConvConfig
from esper_growth.hosts.conv import ConvHost


def build(slots=3, shape=(3, 32, 32), classes=10, **options):
    return ConvHost(ConvConfig(**options), None).build(slots, shape, classes)


def at_slots(host, shape=(3, 32, 32)):
    x, shapes = torch.zeros(2, *shape), []
    for segment in host.segments[:-1]:
        x = segment(x)
        shapes.append(tuple(x.shape[1:]))
    return shapes


def test_it_is_as_large_as_the_peers():
    host = build()
    assert sum(p.numel() for p in host.parameters()) == 6_418
    assert host(torch.randn(2, 3, 32, 32)).shape == (2, 10)
    assert not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in host.modules())


def test_slots_lie_behind_blocks_and_their_pools():
    assert at_slots(build()) == [(8, 16, 16), (16, 8, 8), (32, 4, 4)]


@pytest.mark.parametrize("slots", [1, 2, 5, 8])
def test_any_number_of_slots(slots):
    host = build(slots)
    expected = [(8, 16, 16), (16, 8, 8), (32, 4, 4), *[(32, 4, 4)] * 5][:slots]
    assert at_slots(host) == expected and len(host.segments) == slots + 1
    assert host(torch.randn(2, 3, 32, 32)).shape == (2, 10)


def test_small_images_are_pooled_while_they_can_be():
    assert at_slots(build(5, (1, 4, 6)), (1, 4, 6)) == [(8, 2, 3), (16, 1, 1), (32, 1, 1), (32, 1, 1), (32, 1, 1)]


def test_width_and_groups_are_options():
    host = build(width=4, groups=2)
    assert at_slots(host)[0][0] == 4
    assert {m.num_groups for m in host.modules() if isinstance(m, nn.GroupNorm)} == {2}
    assert ConvHost(ConvConfig(width=4, groups=2), None).name != ConvHost(ConvConfig(), None).name
    with pytest.raises(ValueError, match="groups=8 does not divide width=12"):
        ConvConfig(width=12)
