"""Networks that are wrong in one way each."""

import numpy as np
import torch
from torch import nn

from esper_testing.reference.learned import WIDTH, ReferenceNetwork, ReferenceState


class SlotsHardCoded(ReferenceNetwork):
    def __init__(self, config, context):
        super().__init__(config, context)
        if context.actions.slot is not None:
            self.heads[context.actions.names.index(context.actions.slot)] = nn.Linear(WIDTH, 3)


class BlocksHardCoded(ReferenceNetwork):
    def __init__(self, config, context):
        super().__init__(config, context)
        per_slot = len(context.feature_schema.per_slot) + 4
        self.encoder = nn.Linear(self.input_dim + per_slot * (3 - context.slots.num_slots), WIDTH)


class InputDimOff(ReferenceNetwork):
    def __init__(self, config, context):
        super().__init__(config, context)
        self.input_dim += 101


class NamesClash(ReferenceNetwork):
    def __init__(self, config, context):
        super().__init__(config, context)
        nn.ModuleDict({head.name: nn.Identity() for head in context.actions.heads})


class OpConstant(ReferenceNetwork):
    def __init__(self, config, context):
        super().__init__(config, context)
        self.op = nn.Parameter(torch.randn(len(context.actions.ops)))
        self.root = context.actions.root

    def forward(self, features, state, episode_start):
        output = super().forward(features, state, episode_start)
        if self.root is not None:
            output.logits[self.root] = self.op.expand_as(output.logits[self.root])
        return output


class BatchFirst(ReferenceNetwork):
    def initial_state(self, num_envs):
        return ReferenceState(super().initial_state(num_envs).hidden.transpose(0, 1))

    def forward(self, features, state, episode_start):
        output = super().forward(features, ReferenceState(state.hidden.transpose(0, 1)), episode_start)
        return output._replace(state=ReferenceState(output.state.hidden.transpose(0, 1)))


class BareState(ReferenceNetwork):
    def initial_state(self, num_envs):
        return tuple(super().initial_state(num_envs))

    def forward(self, features, state, episode_start):
        output = super().forward(features, ReferenceState(*state), episode_start)
        return output._replace(state=tuple(output.state))


class StateNotZero(ReferenceNetwork):
    def initial_state(self, num_envs):
        return ReferenceState(super().initial_state(num_envs).hidden + 0.1)


class HeadMissing(ReferenceNetwork):
    def forward(self, features, state, episode_start):
        output = super().forward(features, state, episode_start)
        output.logits.popitem()
        return output


class Noisy(ReferenceNetwork):
    def forward(self, features, state, episode_start):
        noise = 1e-3 * torch.randn_like(features.obs)
        return super().forward(features._replace(obs=features.obs + noise), state, episode_start)


class StateOnModule(ReferenceNetwork):
    kept = None

    def forward(self, features, state, episode_start):
        if self.kept is not None and self.kept.hidden.shape == state.hidden.shape:
            state = self.kept
        output = super().forward(features, state, episode_start)
        self.kept = ReferenceState(output.state.hidden.detach())
        return output


class Unseeded(ReferenceNetwork):
    def __init__(self, config, context):
        super().__init__(config, context)
        nn.init.constant_(self.encoder.bias, np.random.rand())


class InPlace(ReferenceNetwork):
    def forward(self, features, state, episode_start):
        features.obs.data.clamp_(max=0.5)
        return super().forward(features, state, episode_start)


class Overflowing(ReferenceNetwork):
    def forward(self, features, state, episode_start):
        output = super().forward(features, state, episode_start)
        return output._replace(latent=output.latent + features.obs.exp().mean(-1, keepdim=True))


class BatchNormalised(ReferenceNetwork):
    def forward(self, features, state, episode_start):
        centred = features.obs - features.obs.mean(0, keepdim=True)
        return super().forward(features._replace(obs=centred), state, episode_start)


class HiddenShared(ReferenceNetwork):
    def forward(self, features, state, episode_start):
        shared = state.hidden.mean(1, keepdim=True).expand_as(state.hidden)
        return super().forward(features, ReferenceState(shared), episode_start)


class Forgetful(ReferenceNetwork):
    """Cuts the gradient between steps."""

    def forward(self, features, state, episode_start):
        pieces = []
        for t in range(features.obs.shape[1]):
            now = slice(t, t + 1)
            seen = features._replace(
                obs=features.obs[:, now], indices={n: v[:, now] for n, v in features.indices.items()}
            )
            output = super().forward(seen, ReferenceState(state.hidden.detach()), episode_start[:, now])
            state = output.state
            pieces.append(output)
        logits = {name: torch.cat([piece.logits[name] for piece in pieces], 1) for name in pieces[0].logits}
        return output._replace(latent=torch.cat([piece.latent for piece in pieces], 1), logits=logits)


class Clairvoyant(ReferenceNetwork):
    """Sees the whole sequence at every step."""

    def forward(self, features, state, episode_start):
        obs = features.obs + features.obs.mean(1, keepdim=True)
        return super().forward(features._replace(obs=obs), state, episode_start)


class ResetIgnored(ReferenceNetwork):
    def forward(self, features, state, episode_start):
        return super().forward(features, state, torch.zeros_like(episode_start))


class ActsOtherwise(ReferenceNetwork):
    def forward(self, features, state, episode_start):
        output = super().forward(features, state, episode_start)
        if features.obs.shape[1] > 1:
            return output
        return output._replace(logits={name: 1.1 * logits for name, logits in output.logits.items()})


class DeadParameter(ReferenceNetwork):
    def __init__(self, config, context):
        super().__init__(config, context)
        self.unused = nn.Linear(2, 2)


class PlainTensor(ReferenceNetwork):
    def __init__(self, config, context):
        super().__init__(config, context)
        self.scale = torch.rand(())

    def forward(self, features, state, episode_start):
        return super().forward(features._replace(obs=features.obs * self.scale), state, episode_start)


class FloatOnly(ReferenceNetwork):
    def forward(self, features, state, episode_start):
        output = super().forward(features, state, episode_start)
        return output._replace(latent=output.latent.float())


class MixedPrecision(ReferenceNetwork):
    def __init__(self, config, context):
        super().__init__(config, context)
        self.again = nn.Linear(WIDTH, WIDTH)

    def forward(self, features, state, episode_start):
        output = super().forward(features, state, episode_start)
        return output._replace(latent=output.latent.lerp(self.again(output.latent), 0.5))


class CpuOnly(ReferenceNetwork):
    def forward(self, features, state, episode_start):
        offset = torch.zeros(features.obs.shape[-1], dtype=features.obs.dtype)
        return super().forward(features._replace(obs=features.obs + offset), state, episode_start)
