"""The critic `state-value`."""

from __future__ import annotations

from torch import Tensor, nn

from esper_core.contracts.protocols import BuildContext, Values
from esper_op_conditioned_critic.output import ValueOutput, hidden_layer


class StateValueCritic(nn.Module):
    """Kind `critic`: latent H → H/2 → V(s)."""

    def __init__(self, config: None, context: BuildContext) -> None:
        super().__init__()
        self.hidden = hidden_layer(context.latent_dim, context.latent_dim)
        self.output = ValueOutput(self.hidden.out_features)

    def forward(self, latent: Tensor, op_probs: Tensor | None, op: Tensor | None) -> Values:
        """Return V(s) `[E, T]` as baseline and as what is regressed; the operation does not matter."""
        value = self.output(self.hidden(latent).relu())
        return Values(value=value, q_taken=value, by_op=None)

    def rescale_(self, old_mean: float, old_std: float, new_mean: float, new_std: float) -> None:
        """Keep predictions in return units under the new statistics."""
        self.output.rescale_(old_mean, old_std, new_mean, new_std)
