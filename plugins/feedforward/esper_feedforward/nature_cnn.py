"""The network `nature-cnn`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from esper_core.contracts.errors import IncompatiblePlan
from esper_core.contracts.features import ArrayField
from esper_core.contracts.protocols import BuildContext, Features, NetworkOutput
from esper_feedforward.config import NatureCnnConfig
from esper_feedforward.layers import Embedded, Heads, Nothing, initialised, stack

SMALLEST = 36
"""Shortest side of an image of which the convolutions of Mnih et al. 2015 leave anything."""

SMALL = 12
"""Shortest side of an image that smaller convolutions halve twice."""

Layer = tuple[int, int, int, int]
"""Filters, side, step and padding of a convolution."""


class Convolutions(nn.Module):
    """Three convolutions of one array of the observation; `width` is how many numbers come out.

    Raises:
        IncompatiblePlan: the array is no image.
    """

    def __init__(self, array: ArrayField) -> None:
        super().__init__()
        if len(array.shape) not in (2, 3):
            raise IncompatiblePlan(
                f"The array '{array.name}' {list(array.shape)} is no image: nature-cnn takes [height, width], and "
                "channels before or after them.",
                hint="Use another network, or let the environment publish numbers: -o environment.flatten=true.",
            )
        # There are fewer channels than rows or columns; where that does not tell, they are last, as Gymnasium has them.
        self._axes = (2, 0, 1) if len(array.shape) == 3 and array.shape[2] <= array.shape[0] else None
        shape = array.shape if len(array.shape) == 3 else (1, *array.shape)
        channels, height, width = shape if self._axes is None else (shape[axis] for axis in self._axes)
        layers: list[nn.Module] = []
        for filters, side, step, padding in _layers(min(height, width)):
            layers += [initialised(nn.Conv2d(channels, filters, side, step, padding)), nn.ReLU()]
            channels = filters
            height, width = ((size + 2 * padding - side) // step + 1 for size in (height, width))
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.width = channels * height * width

    def forward(self, array: Tensor, dtype: torch.dtype) -> Tensor:
        """Map `[E, T, *shape]` to `[E, T, width]`."""
        lead = array.shape[:2]
        images = array.flatten(0, 1)
        images = images.permute(0, *(axis + 1 for axis in self._axes)) if self._axes else images
        images = images if images.dim() == 4 else images.unsqueeze(1)
        pixels = images.to(dtype) / 255 if array.dtype == torch.uint8 else images.to(dtype)
        return self.layers(pixels).unflatten(0, lead)


class NatureCnn(nn.Module):
    """Kind `network`: convolutions of every image, then one layer that sees the numbers of the observation as well.

    The layers are those of Mnih et al. 2015 (doi:10.1038/nature14236). Heads and critic share all of them.

    Args:
        config: Widths.
        context: Feature schema and action table.

    Raises:
        IncompatiblePlan: the features have no arrays, or some that are no images.
    """

    def __init__(self, config: NatureCnnConfig, context: BuildContext) -> None:
        super().__init__()
        schema = context.feature_schema
        assert schema is not None, "features are built before the network"
        if not schema.arrays:
            raise IncompatiblePlan(
                "nature-cnn sees images, and the features have none.",
                hint="Use another network, such as mlp; Gymnasium's images come with -o environment.flatten=false.",
            )
        self.encoder = Embedded(schema, config.embed_dim)
        images = [Convolutions(array) for array in schema.arrays]
        self.images = nn.ModuleList(images)
        self._arrays = tuple(array.name for array in schema.arrays)
        self.input_dim = self.encoder.width + sum(one.width for one in images)
        self.latent_dim = config.hidden_dim
        self.body = stack(self.input_dim, [config.hidden_dim], nn.ReLU)
        self.heads = Heads(self.latent_dim, context.actions, config.free_std)

    def initial_state(self, num_envs: int) -> Nothing:
        """Return nothing."""
        return Nothing()

    def forward(self, features: Features, state: Nothing, episode_start: Tensor) -> NetworkOutput:
        """Run `[E, T]` steps, each by itself."""
        numbers = self.encoder(features)
        pairs = zip(self._arrays, self.images, strict=True)
        seen = [images(features.arrays[name], numbers.dtype) for name, images in pairs]
        latent = self.body(torch.cat([numbers, *seen], dim=-1))
        return NetworkOutput(latent, self.heads(latent), state)


def _layers(side: int) -> tuple[Layer, Layer, Layer]:
    """Return the convolutions for images whose shorter side is this long."""
    if side >= SMALLEST:
        return (32, 8, 4, 0), (64, 4, 2, 0), (64, 3, 1, 0)
    step = 2 if side >= SMALL else 1
    return (32, 3, step, 1), (64, 3, step, 1), (64, 3, 1, 1)
