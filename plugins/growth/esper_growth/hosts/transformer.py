"""The host `transformer`: a small pre-norm transformer over the patches of a curve."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from esper_core.contracts.errors import UserError
from esper_core.contracts.protocols import BuildContext
from esper_growth.blueprints.transformer import Mixing, heads_of, perceptron, self_attention
from esper_growth.config import TransformerConfig
from esper_growth.engine.graph import Graph, Kind, Node
from esper_growth.hosts.segments import Segments

MIN_BLOCKS = 3


class Patches(nn.Module):
    """Cuts curves into patches, whose points become channels; no parameters."""

    def __init__(self, points: int) -> None:
        super().__init__()
        self.points = points

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, C, L]` to `[B, C·points, L / points]`."""
        return x.unflatten(2, (-1, self.points)).transpose(2, 3).flatten(1, 2)

    def lower(self, graph: Graph, x: Node) -> Node:
        """Add the layer to the engine's graph."""
        channels, height, length = x.shape
        return graph.add(Kind.PATCHES, [x], (channels * self.points, height, length // self.points), 1, self.points)


class Positions(nn.Module):
    """Adds what is learned of each position."""

    def __init__(self, channels: int, length: int) -> None:
        super().__init__()
        self.table = nn.Parameter(0.5 * torch.randn(channels, length))

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, C, L]` to the same shape."""
        return x + self.table

    def lower(self, graph: Graph, x: Node) -> Node:
        """Add the layer to the engine's graph."""
        return graph.add(Kind.TABLE, [x], x.shape, self.table)


class Residual(nn.Module):
    """x + f(x)."""

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, C, L]` to the same shape."""
        return x + self.branch(x)

    def lower(self, graph: Graph, x: Node) -> Node:
        """Add the layers to the engine's graph."""
        return graph.add(Kind.SUM, [x, graph.lower(self.branch, x)], x.shape)


class TransformerHost:
    """Kind `host`: patches → linear → positions, then max(N, 3) blocks of attention and a narrow perceptron."""

    topology = "sequence"

    def __init__(self, config: TransformerConfig, context: BuildContext) -> None:
        self.config = config
        self.name = f"transformer-w{config.width}p{config.patch}m{config.middle}"

    def build(self, num_slots: int, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """Return one host for inputs `[B, C, L]`; slot i lies behind block i and sees `[B, width, L / patch]`.

        Raises:
            UserError: the inputs have another number of axes, or their length is no multiple of a patch's.
        """
        width, patch = self.config.width, self.config.patch
        if len(input_shape) != 2 or input_shape[1] % patch:
            shape = " × ".join(map(str, input_shape))
            raise UserError(
                f"The host transformer cannot cut inputs of {shape} into patches of {patch} points.",
                hint="It takes [channels, length], with a length that host.patch divides, as of the task mnist1d.",
            )
        channels, length = input_shape
        blocks: list[nn.Module] = [self._block() for _ in range(max(num_slots, MIN_BLOCKS))]
        embedding = (Patches(patch), nn.Conv1d(channels * patch, width, 1), Positions(width, length // patch))
        blocks[0] = nn.Sequential(*embedding, blocks[0])
        return Segments.of_blocks(blocks, num_slots, width, classes, axes=1)

    def _block(self) -> nn.Module:
        width = self.config.width
        attention = self_attention(width, Mixing(heads_of(width)))
        return nn.Sequential(Residual(attention), Residual(perceptron(width, self.config.middle)))
