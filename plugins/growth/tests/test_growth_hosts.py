"""What slots see of each host, at any number of slots."""

import pytest
import torch

from esper_growth.config import CapableConfig, ConvConfig, NarrowConfig, TransformerConfig
from esper_growth.hosts.conv import ConvHost
from esper_growth.hosts.transformer import TransformerHost
from esper_growth.hosts.uniform import CapableHost, NarrowHost


@pytest.mark.parametrize(
    ("host", "shape", "slots"),
    [
        (ConvHost(ConvConfig(), None), (3, 32, 32), [(8, 16, 16), (16, 8, 8), *[(32, 4, 4)] * 3]),
        (ConvHost(ConvConfig(), None), (1, 4, 6), [(8, 2, 3), (16, 1, 1), *[(32, 1, 1)] * 3]),
        (ConvHost(ConvConfig(width=4, groups=2), None), (3, 32, 32), [(4, 16, 16), (8, 8, 8), *[(16, 4, 4)] * 3]),
        (NarrowHost(NarrowConfig(), None), (1, 40), [(6, 40), (6, 20), (6, 20), (6, 10), (6, 10)]),
        (CapableHost(CapableConfig(), None), (1, 40), [(32, 40), (32, 20), (32, 20), (32, 10), (32, 10)]),
        (TransformerHost(TransformerConfig(), None), (1, 40), [(16, 10)] * 5),
    ],
)
def test_slots_lie_behind_blocks(host, shape, slots):
    for count in (1, 3, 5):
        x, seen, built = torch.randn(2, *shape), [], host.build(count, shape, 10)
        for segment in built.segments[:-1]:
            x = segment(x)
            seen.append(tuple(x.shape[1:]))
        assert seen == slots[:count] and built.segments[-1](x).shape == (2, 10)


def test_the_host_conv_is_as_large_as_that_of_the_nearest_public_system():
    assert sum(p.numel() for p in ConvHost(ConvConfig(), None).build(3, (3, 32, 32), 10).parameters()) == 6_418
    with pytest.raises(ValueError, match="groups=8 does not divide width=12"):
        ConvConfig(width=12)
