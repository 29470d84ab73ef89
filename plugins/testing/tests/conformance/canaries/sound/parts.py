"""The components."""

from typing import NamedTuple

import torch
from torch import nn
from torch.nn.functional import huber_loss

from esper_core.contracts.errors import IncompatiblePlan
from esper_core.contracts.protocols import Features, LossResult, NetworkOutput, Values
from esper_core.policy.distribution import FactoredDistribution
from sound.describe import describe


class Counting:
    def __init__(self, config, context):
        self.schema = describe(config, context.slots, context.actions, context.state_spec)
        self.dtype = context.dtype

    def __call__(self, state):
        lit = state["lit"].to(self.dtype)
        return Features(torch.stack([lit.mean(1), lit.amax(1)], dim=1), {})


class NoState(NamedTuple):
    pass


class Memoryless(nn.Module):
    def __init__(self, config, context):
        super().__init__()
        schema = context.feature_schema
        self.latent_dim, self.input_dim = 8, schema.dim + sum(block.width for block in schema.indices)
        self.blocks = [block.name for block in schema.indices]
        self.first, self.second = nn.Linear(self.input_dim, 8), nn.Linear(8, 8)
        sizes = context.actions.sizes
        self.logits, self.names, self.sizes = nn.Linear(8, sum(sizes.values())), list(sizes), list(sizes.values())

    def initial_state(self, num_envs):
        return NoState()

    def forward(self, features, state, episode_start):
        indices = [features.indices[name].to(features.obs.dtype) for name in self.blocks]
        latent = self.second(self.first(torch.cat([features.obs, *indices], dim=-1)).relu()).tanh()
        pieces = self.logits(latent).split(self.sizes, dim=-1)
        return NetworkOutput(latent, dict(zip(self.names, pieces, strict=True)), state)


class SlotsOnly(Memoryless):
    def __init__(self, config, context):
        super().__init__(config, context)
        if context.actions.slot is None:
            raise IncompatiblePlan("There is no slot to choose.", hint="Use another network.")


class Table(nn.Module):
    """Begins with the same value, 0, for every operation and state."""

    def __init__(self, config, context):
        super().__init__()
        self.ops = len(context.actions.ops)
        self.hidden = nn.Linear(context.latent_dim, 8)
        self.output = nn.Linear(8, max(1, self.ops))
        nn.init.constant_(self.output.weight, 0.01)
        nn.init.zeros_(self.output.bias)

    def forward(self, latent, op_probs, op):
        values = self.output(self.hidden(latent).tanh())
        if op is None:
            return Values(values.squeeze(-1), values.squeeze(-1), None)
        return Values((op_probs * values).sum(-1), values.gather(-1, op.unsqueeze(-1)).squeeze(-1), values)

    @torch.no_grad()
    def rescale_(self, old_mean, old_std, new_mean, new_std):
        self.output.weight.mul_(old_std / new_std)
        self.output.bias.mul_(old_std).add_(old_mean - new_mean).div_(new_std)


class Huber:
    target_kl = 0.05

    def __init__(self, config, context):
        self.actions = context.actions

    def __call__(self, batch, evaluation):
        valid, steps = batch.valid, batch.valid.sum()
        log_ratio = torch.stack([evaluation.log_prob[name] - batch.old_log_prob[name] for name in evaluation.log_prob])
        ratio = torch.where(valid, log_ratio.sum(0), 0.0).exp()
        advantages = torch.where(valid, batch.advantages, 0.0)
        gain = torch.minimum(ratio * advantages, ratio.clamp(0.9, 1.1) * advantages).sum() / steps
        error = huber_loss(evaluation.values.q_taken[valid], batch.returns[valid])
        old = FactoredDistribution(self.actions, batch.old_logits, batch.masks)
        kl = evaluation.distribution.kl(old).detach()[valid].mean()
        return LossResult(0.5 * error - gain, kl, {})
