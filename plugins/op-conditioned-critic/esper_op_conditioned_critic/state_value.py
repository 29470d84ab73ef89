"""The critic `state-value`."""

from __future__ import annotations

from torch import Tensor, nn

from esper_core.contracts.protocols import BuildContext, Values
from esper_op_conditioned_critic.config import StateValueConfig
from esper_op_conditioned_critic.output import ValueOutput, hidden_layer, told_alone, told_layer


class StateValueCritic(nn.Module):
    """Kind `critic`: latent H, and what it is told alone, → H/2 → V(s).

    Raises:
        IncompatiblePlan: it is to be told what is privileged, and the environment tells nothing.
    """

    def __init__(self, config: StateValueConfig, context: BuildContext) -> None:
        super().__init__()
        self.privileged = told_alone(config.privileged, context)
        self.hidden = hidden_layer(context.latent_dim, context.latent_dim)
        self.output = ValueOutput(self.hidden.out_features)
        self.told = told_layer(self.privileged, self.hidden.out_features)

    def forward(
        self, latent: Tensor, op_probs: Tensor | None, op: Tensor | None, privileged: Tensor | None = None
    ) -> Values:
        """Return V(s) `[E, T]` as baseline and as what is regressed; the operation does not matter.

        `privileged [E, T, P]` is what critics alone are told.
        """
        hidden = self.hidden(latent)
        if self.told is not None and privileged is not None:
            hidden = hidden + self.told(privileged)
        value = self.output(hidden.relu())
        return Values(value=value, q_taken=value, by_op=None)

    def rescale_(self, old_mean: float, old_std: float, new_mean: float, new_std: float) -> None:
        """Keep predictions in return units under the new statistics."""
        self.output.rescale_(old_mean, old_std, new_mean, new_std)
