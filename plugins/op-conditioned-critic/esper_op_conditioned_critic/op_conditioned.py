"""The critic `op-conditioned-critic`."""

from __future__ import annotations

from torch import Tensor, nn

from esper_core.contracts.errors import IncompatiblePlan
from esper_core.contracts.protocols import BuildContext, Values
from esper_op_conditioned_critic.config import OpConditionedConfig
from esper_op_conditioned_critic.output import ValueOutput, hidden_layer, told_alone, told_layer


class OpConditionedCritic(nn.Module):
    """Kind `critic`: latent H ⊕ one-hot(op), and what it is told alone, → H/2 → Q(s, op).

    A baseline that contains the operation taken removes the operation head's gradient as the critic gets better: with
    Q̂ = Q every advantage has mean 0 given the operation. The expectation over operations keeps it. Where an episode was
    truncated no operation is taken, and the value of its last state is the expectation whatever the baseline.

    Raises:
        IncompatiblePlan: the environment's actions have no root head, or it tells nothing that is privileged.
    """

    def __init__(self, config: OpConditionedConfig, context: BuildContext) -> None:
        super().__init__()
        ops = len(context.actions.ops)
        if not ops:
            raise IncompatiblePlan(
                "The critic 'op-conditioned-critic' needs an operation head, and these actions have none.",
                hint="Use --critic state-value.",
            )
        self.config = config
        self.latent_dim = context.latent_dim
        self.hidden = hidden_layer(context.latent_dim + ops, context.latent_dim)
        self.privileged = told_alone(config.privileged, context)
        self.output = ValueOutput(self.hidden.out_features)
        self.told = told_layer(self.privileged, self.hidden.out_features)

    def forward(
        self, latent: Tensor, op_probs: Tensor | None, op: Tensor | None, privileged: Tensor | None = None
    ) -> Values:
        """Return values for `latent [E, T, H]`, detached `op_probs [E, T, O]` and `op [E, T]`.

        `privileged [E, T, P]` is what critics alone are told.

        All operations are valued at once: their one-hot inputs are columns of the hidden layer's weight.
        """
        assert op_probs is not None and op is not None, "an operation head is there, so its operations are"
        from_latent, from_op = self.hidden.weight.split([self.latent_dim, op_probs.shape[-1]], dim=1)
        shared = nn.functional.linear(latent, from_latent, self.hidden.bias)
        if self.told is not None and privileged is not None:
            shared = shared + self.told(privileged)
        by_op = self.output((shared.unsqueeze(-2) + from_op.t()).relu())
        taken = by_op.gather(-1, op.unsqueeze(-1)).squeeze(-1)
        baseline = (op_probs * by_op).sum(-1) if self.config.baseline == "expected" else taken
        return Values(value=baseline, q_taken=taken, by_op=by_op)

    def rescale_(self, old_mean: float, old_std: float, new_mean: float, new_std: float) -> None:
        """Keep predictions in return units under the new statistics."""
        self.output.rescale_(old_mean, old_std, new_mean, new_std)
