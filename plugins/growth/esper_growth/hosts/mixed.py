"""The host `mixed`: a family of architectures, some of which need to grow and some of which do not."""

from __future__ import annotations

import random

from torch import nn

from esper_core.contracts.protocols import BuildContext
from esper_growth.config import CapableConfig, MixedHostConfig, NarrowConfig, PointwiseConfig
from esper_growth.families import check_members
from esper_growth.hosts.uniform import CapableHost, NarrowHost, PointwiseHost, UniformHost
from esper_growth.runtime import stable_seed


class MixedHost:
    """Kind `host`, a family: the number of an instance decides its architecture."""

    topology = "image"
    axes = (1, 2)

    def __init__(self, config: MixedHostConfig, context: BuildContext) -> None:
        members: dict[str, UniformHost] = {
            "pointwise": PointwiseHost(PointwiseConfig(), context),
            "narrow": NarrowHost(NarrowConfig(), context),
            "capable": CapableHost(CapableConfig(width=config.capable_width), context),
        }
        check_members("host", config.hosts, members)
        self._hosts = [members[name] for name in config.hosts]
        self.name = "mixed-" + "+".join(host.name for host in self._hosts)

    def draw(self, instance: int) -> UniformHost:
        """Return the architecture of an instance."""
        return random.Random(stable_seed("architecture", instance)).choice(self._hosts)

    def build(self, num_slots: int, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """Return one host of instance 0's architecture."""
        return self.draw(0).build(num_slots, input_shape, classes)
