"""Features that are wrong in one way each. Of a state they look at `lit`, `brightness` and `clock` more closely."""

import torch
from attrs import evolve

from esper_testing.reference.learned import ReferenceFeatures
from sick.describe import few_fields_of, named_twice, source_unknown, three_blocks, vocabulary_short


class Changed(ReferenceFeatures):
    """Computes correct features and hands their columns to `change`."""

    def __call__(self, state):
        features = super().__call__(state)
        return features._replace(obs=self.change(features.obs.clone(), state))

    def blocks(self, obs):
        """Return the slot blocks of the observation, `[E, N, width]`, a view."""
        return obs[:, len(self.schema.base) :].unflatten(1, (self.schema.num_slots, -1))


class NamedTwice(ReferenceFeatures):
    def __init__(self, config, context):
        super().__init__(config, context)
        self.schema = named_twice(config, context.slots, context.actions, context.state_spec)


class ThreeBlocks(ReferenceFeatures):
    def __init__(self, config, context):
        super().__init__(config, context)
        self.schema = three_blocks(config, context.slots, context.actions, context.state_spec)


class SourceUnknown(ReferenceFeatures):
    def __init__(self, config, context):
        super().__init__(config, context)
        self.schema = source_unknown(config, context.slots, context.actions, context.state_spec)


class VocabularyShort(ReferenceFeatures):
    def __init__(self, config, context):
        super().__init__(config, context)
        self.schema = vocabulary_short(config, context.slots, context.actions, context.state_spec)


class DimensionOff(Changed):
    def change(self, obs, state):
        return torch.cat([obs, obs[:, :1]], dim=1)


class NanWhenEmpty(Changed):
    """Divides by the number of lamps that are lit."""

    def change(self, obs, state):
        obs[:, 0] = obs[:, 0] * state["lit"].any(1) / state["lit"].any(1)
        return obs


class Unclamped(Changed):
    def change(self, obs, state):
        obs[:, 0] *= 3
        return obs


class Jittery(Changed):
    def change(self, obs, state):
        return obs * (1 - 1e-3 * torch.rand_like(obs))


class ScalesInPlace(ReferenceFeatures):
    def __call__(self, state):
        for value in state.values():
            if value.is_floating_point():
                value.mul_(0.5)
        return super().__call__(state)


class BatchCentred(Changed):
    def change(self, obs, state):
        obs[:, 0] -= obs[:, 0].mean()
        return obs.abs()


class Leaking(Changed):
    """One column depends on a field that is not among its sources."""

    def change(self, obs, state):
        obs[:, 0] = (obs[:, 0] + state["lit"].to(obs.dtype).mean(1)) / 2
        return obs


class DeadColumn(Changed):
    def change(self, obs, state):
        obs[:, 0] = 0.5
        return obs


class Swapped(Changed):
    """Writes the columns of each slot in another order than its schema says."""

    def change(self, obs, state):
        blocks = self.blocks(obs)
        blocks.copy_(blocks.flip(-1).clone())
        return obs


class FirstThreeSlots(Changed):
    def change(self, obs, state):
        self.blocks(obs)[:, 3:] = 0
        return obs


class ReadsMore(Changed):
    """Looks at `brightness`, which neither its schema nor its spec mentions."""

    def __init__(self, config, context):
        super().__init__(config, evolve(context, state_spec=few_fields_of(context.state_spec)))

    def change(self, obs, state):
        return obs + 0 * state["brightness"].sum(1, keepdim=True)


class ReadsLess(ReferenceFeatures):
    """Its spec reads `brightness`, and it does not."""

    def __init__(self, config, context):
        super().__init__(config, evolve(context, state_spec=few_fields_of(context.state_spec)))


class FloatOnlyFeatures(Changed):
    def change(self, obs, state):
        return obs.float()


class CpuOnlyFeatures(Changed):
    def change(self, obs, state):
        return obs + torch.zeros(obs.shape, dtype=obs.dtype)


class BackOnCpu(Changed):
    def change(self, obs, state):
        return obs.cpu()
