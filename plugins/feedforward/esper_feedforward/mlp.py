"""The network `mlp`."""

from __future__ import annotations

from torch import Tensor, nn

from esper_core.contracts.protocols import BuildContext, Features, NetworkOutput
from esper_feedforward.config import MlpConfig
from esper_feedforward.layers import Embedded, Heads, Nothing, stack

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU}


class MlpNetwork(nn.Module):
    """Kind `network`: two stacks of layers, one for the heads, and one whose output is the latent, the critic's input.

    With its defaults these are the layers of `MlpPolicy` of Stable-Baselines3, and their initial weights.

    Args:
        config: Widths and activation.
        context: Feature schema and action table.
    """

    def __init__(self, config: MlpConfig, context: BuildContext) -> None:
        super().__init__()
        schema = context.feature_schema
        assert schema is not None, "features are built before the network"
        self.encoder = Embedded(schema, config.embed_dim)
        self.input_dim, self.latent_dim = self.encoder.width, config.widths[-1]
        activation = ACTIVATIONS[config.activation]
        self.acting, self.valuing = (stack(self.input_dim, config.widths, activation) for _ in range(2))
        self.heads = Heads(self.latent_dim, context.actions, config.free_std)

    def initial_state(self, num_envs: int) -> Nothing:
        """Return nothing."""
        return Nothing()

    def forward(self, features: Features, state: Nothing, episode_start: Tensor) -> NetworkOutput:
        """Run `[E, T]` steps, each by itself."""
        # As one axis, or every layer would make it one and two again.
        lead, seen = features.obs.shape[:2], self.encoder(features).flatten(0, 1)
        logits = {name: value.view(*lead, -1) for name, value in self.heads(self.acting(seen)).items()}
        return NetworkOutput(self.valuing(seen).view(*lead, -1), logits, state)
