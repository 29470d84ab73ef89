"""Critics that are wrong in one way each."""

import numpy as np
import torch
from torch import nn

from esper_core.contracts.errors import IncompatiblePlan
from esper_core.contracts.protocols import Values
from esper_testing.reference.learned import ReferenceCritic


class TrailingAxis(ReferenceCritic):
    def forward(self, latent, op_probs, op):
        value = self.value(latent)
        return Values(value, value, None)


class RefusesWithoutHint(ReferenceCritic):
    def __init__(self, config, context):
        super().__init__(config, context)
        if context.actions.root is None:
            raise IncompatiblePlan("No.")


class Conditioned(ReferenceCritic):
    """A correct Q(s, op), for those below to spoil."""

    def __init__(self, config, context):
        super().__init__(config, context)
        self.ops = nn.Linear(context.latent_dim, len(context.actions.ops) or 1)

    def by_op(self, latent):
        return self.value(latent) + self.ops(latent)

    def forward(self, latent, op_probs, op):
        if op is None:
            value = self.by_op(latent).sum(-1)
            return Values(value, value, None)
        by_op = self.by_op(latent)
        return Values((op_probs * by_op).sum(-1), by_op.gather(-1, op.unsqueeze(-1)).squeeze(-1), by_op)

    @torch.no_grad()
    def rescale_(self, old_mean, old_std, new_mean, new_std):
        super().rescale_(old_mean, old_std, new_mean, new_std)
        self.ops.weight.mul_(old_std / new_std)
        self.ops.bias.mul_(old_std / new_std)


class TakenIsBaseline(Conditioned):
    def forward(self, latent, op_probs, op):
        values = super().forward(latent, op_probs, op)
        return values._replace(q_taken=values.value)


class BaselineBeyond(Conditioned):
    def forward(self, latent, op_probs, op):
        values = super().forward(latent, op_probs, op)
        if values.by_op is None:
            return values
        return values._replace(value=2 * values.by_op.amax(-1) - values.by_op.amin(-1))


class QUnclaimed(Conditioned):
    pass


class OpBlind(Conditioned):
    def by_op(self, latent):
        value = self.value(latent) + self.ops(latent).mean(-1, keepdim=True)
        return value.expand(*latent.shape[:-1], self.ops.out_features)


class QOnlyClaimed(ReferenceCritic):
    pass


class DropsOut(ReferenceCritic):
    def __init__(self, config, context):
        super().__init__(config, context)
        self.dropout = nn.Dropout(0.2)

    def forward(self, latent, op_probs, op):
        return super().forward(self.dropout(latent), op_probs, op)


class UnseededValue(ReferenceCritic):
    def __init__(self, config, context):
        super().__init__(config, context)
        nn.init.constant_(self.value.bias, np.random.rand())


class ReluInPlace(ReferenceCritic):
    def forward(self, latent, op_probs, op):
        latent.data.relu_()
        return super().forward(latent, op_probs, op)


class Centred(ReferenceCritic):
    def forward(self, latent, op_probs, op):
        return super().forward(latent - latent.mean((0, 1)), op_probs, op)


class NoRescale(ReferenceCritic):
    def rescale_(self, old_mean, old_std, new_mean, new_std):
        pass


class Detached(ReferenceCritic):
    def forward(self, latent, op_probs, op):
        return super().forward(latent.detach(), op_probs, op)


class DeadValueParameter(ReferenceCritic):
    def __init__(self, config, context):
        super().__init__(config, context)
        self.unused = nn.Parameter(torch.zeros(2))


class StatisticsOutside(ReferenceCritic):
    """Keeps what `rescale_` was told in plain numbers, which no checkpoint holds."""

    mean, std = 0.0, 1.0

    def forward(self, latent, op_probs, op):
        values = super().forward(latent, op_probs, op)
        value = (values.q_taken - self.mean) / self.std
        return Values(value, value, None)

    def rescale_(self, old_mean, old_std, new_mean, new_std):
        self.mean, self.std = new_mean, new_std


class FloatOnlyValue(ReferenceCritic):
    def forward(self, latent, op_probs, op):
        value = super().forward(latent, op_probs, op).q_taken.float()
        return Values(value, value, None)


class MixedPrecisionValue(ReferenceCritic):
    def __init__(self, config, context):
        super().__init__(config, context)
        self.layer = nn.Linear(context.latent_dim, context.latent_dim)

    def forward(self, latent, op_probs, op):
        return super().forward(latent.lerp(self.layer(latent), 0.5), op_probs, op)


class CpuOnlyValue(ReferenceCritic):
    def forward(self, latent, op_probs, op):
        return super().forward(latent + torch.zeros(latent.shape, dtype=latent.dtype), op_probs, op)
