"""The host `conv`: as large as that of the nearest public system, at any number of slots."""

import pytest
import torch
from torch import nn

from esper_growth.config import ConvConfig
from esper_growth.hosts.conv import ConvHost


def at_slots(host, shape):
    x, shapes = torch.zeros(2, *shape), []
    for segment in host.segments[:-1]:
        x = segment(x)
        shapes.append(tuple(x.shape[1:]))
    return shapes


@pytest.mark.parametrize(
    ("shape", "slots"),
    [
        ((3, 32, 32), [(8, 16, 16), (16, 8, 8), (32, 4, 4), (32, 4, 4), (32, 4, 4)]),
        ((1, 4, 6), [(8, 2, 3), (16, 1, 1), (32, 1, 1), (32, 1, 1), (32, 1, 1)]),
    ],
)
def test_slots_lie_behind_blocks_that_are_pooled_while_they_can_be(shape, slots):
    for count in (1, 3, 5):
        host = ConvHost(ConvConfig(), None).build(count, shape, 10)
        assert at_slots(host, shape) == slots[:count] and len(host.segments) == count + 1
    assert sum(p.numel() for p in ConvHost(ConvConfig(), None).build(3, (3, 32, 32), 10).parameters()) == 6_418


def test_width_and_groups_are_options():
    made = ConvHost(ConvConfig(width=4, groups=2), None)
    host = made.build(3, (3, 32, 32), 10)
    assert at_slots(host, (3, 32, 32))[0][0] == 4 and made.name != ConvHost(ConvConfig(), None).name
    assert {m.num_groups for m in host.modules() if isinstance(m, nn.GroupNorm)} == {2}
    with pytest.raises(ValueError, match="groups=8 does not divide width=12"):
        ConvConfig(width=12)
