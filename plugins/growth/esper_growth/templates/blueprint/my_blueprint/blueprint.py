"""The blueprint `my-blueprint`: a 3×3 convolution that skips pixels, and so sees further than its size."""

from __future__ import annotations

from torch import nn

from esper_core.contracts.protocols import BuildContext
from my_blueprint.config import MyBlueprintConfig


class MyBlueprint:
    """Kind `blueprint`: makes the branch f of `h + alpha·f(h)`. Workers receive it pickled, so it holds plain data."""

    # On hosts of other topologies its label is never legal.
    topologies = ("image",)

    def __init__(self, config: MyBlueprintConfig, context: BuildContext) -> None:
        self.config = config

    def build(self, channels: int, spatial: tuple[int, ...]) -> nn.Module:
        """Return a module from `[B, channels, *spatial]` to the same shape."""
        dilation = self.config.dilation
        return nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, bias=False),
            # Not BatchNorm: a branch has no state beyond its parameters.
            nn.GroupNorm(1, channels),
            nn.ReLU(),
        )
