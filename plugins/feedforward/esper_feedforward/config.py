"""Options of the networks."""

from __future__ import annotations

from attrs import frozen

from esper_core import option

_EMBED = "Numbers per embedded index; more can tell more categories apart."
_FREE = "Standard deviations of numbers are the same in every state; otherwise the network gives them too."


@frozen
class MlpConfig:
    """Options of `mlp`."""

    widths: tuple[int, ...] = option((64, 64), converter=tuple, help="Widths of the layers, for actions and critic.")
    activation: str = option("tanh", choices=("tanh", "relu"), help="What follows every layer.")
    free_std: bool = option(True, help=_FREE)
    embed_dim: int = option(4, low=1, high=65536, help=_EMBED)

    def __attrs_post_init__(self) -> None:
        if not self.widths or not all(1 <= width <= 65536 for width in self.widths):
            raise ValueError("widths are one or more whole numbers from 1 to 65536, such as [64,64]")


@frozen
class NatureCnnConfig:
    """Options of `nature-cnn`."""

    hidden_dim: int = option(512, low=1, high=65536, help="Width of the layer after the convolutions, and the latent.")
    free_std: bool = option(True, help=_FREE)
    embed_dim: int = option(4, low=1, high=65536, help=_EMBED)
