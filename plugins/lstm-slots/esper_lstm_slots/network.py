"""The network: what is seen of all, and of each slot → a memory per slot → a pool → a shared memory → heads.

    g    = MLP(base features, embedded indices)
    s_i  = MLP(features of slot i, embedded indices of slot i)          the same weights for every slot
    m_i  = s_i + GRU(s_i, memory of slot i)                             the same weights for every slot
    p    = [mean_i m_i, max_i m_i, attention(query = g, m)]
    h    = LSTM(MLP([g, p]))
    head = W·LayerNorm(h), but slot[o, i] = (Q_o·LayerNorm(h))·(K·m_i) / √d

No weight depends on N, and nothing tells which slot is which, unless a feature does. So the order of slots changes the
order of their probabilities and nothing else, and doubling all of them changes nothing of what is known of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from esper_core.contracts.errors import IncompatiblePlan
from esper_core.contracts.features import PRESENT, FeatureSchema, IndexField
from esper_core.contracts.precision import widened, without_autocast
from esper_core.contracts.protocols import BuildContext, Features, NetworkOutput
from esper_core.policy.recurrent import run_with_resets
from esper_lstm_slots.config import LstmSlotsConfig
from esper_lstm_slots.pooling import SlotPool

EMBEDDING_STD = 0.02
FINAL_GAIN = 0.01
FORGET_BIAS = 1.0


class SlotsState(NamedTuple):
    """Recurrent state: `h` and `c` of the shared LSTM, `[1, E, H]`, and the memories of the slots, `[1, E, N, M]`.

    Without memories of slots `slots` is `[1, E, N, 0]`.
    """

    h: Tensor
    c: Tensor
    slots: Tensor


class SharedState(NamedTuple):
    """State of the LSTM alone, both `[1, E, H]`."""

    h: Tensor
    c: Tensor


class SlotMemory(NamedTuple):
    """State of the slots alone, `[1, E, N, M]`."""

    slots: Tensor


class LstmSlots(nn.Module):
    """Kind `network`: the same parameters for any number of slots; slot logits are given each operation.

    Args:
        config: Widths, and whether slots have memories of their own.
        context: Feature schema and action table.

    Raises:
        IncompatiblePlan: the observation has no part for each slot, or another number of slots than the slot head.
    """

    def __init__(self, config: LstmSlotsConfig, context: BuildContext) -> None:
        super().__init__()
        schema = context.feature_schema
        assert schema is not None, "features are built before the network"
        actions = context.actions
        _check(schema, actions.sizes[actions.slot] if actions.slot is not None else schema.num_slots)
        hidden, width = config.hidden_dim, config.slot_dim
        self.latent_dim, self.slot_dim = hidden, width
        self._base, self._num_slots = len(schema.base), schema.num_slots
        names = [feature.name for feature in schema.per_slot]
        self._present = names.index(PRESENT) if PRESENT in names else None

        self._shared = tuple(block for block in schema.indices if not block.per_slot)
        self._own = tuple(block for block in schema.indices if block.per_slot)
        # Modules of their own, not a ModuleDict: that refuses names such as "type", which a block may well have.
        for block in schema.indices:
            table = nn.Embedding(block.vocabulary + 1, config.embed_dim)
            nn.init.normal_(table.weight, std=EMBEDDING_STD)
            self.add_module(f"{block.name}_embedding", table)
        self.input_dim = len(names) + len(self._own) * config.embed_dim
        seen = self._base + sum(block.width for block in self._shared) * config.embed_dim
        self.all_encoder = _encoder(seen, width)
        self.slot_encoder = _encoder(self.input_dim, width)
        self.memory = nn.GRU(width, width, batch_first=True) if config.slot_memory else None
        self.pool = SlotPool(width, width)
        self.mixer = _layer(width + self.pool.out_features, hidden)
        self.lstm = nn.LSTM(hidden, hidden, batch_first=True)
        self.norm = nn.LayerNorm(hidden)

        self._slot, self._ops = actions.slot, len(actions.ops)
        self._heads = tuple(head.name for head in actions.heads if head.name != actions.slot)
        for head in actions.heads:
            if head.name != actions.slot:
                self.add_module(f"{head.name}_head", _linear(hidden, head.size, FINAL_GAIN))
        if self._slot is not None:
            self.slot_query = _linear(hidden, self._ops * config.key_dim, FINAL_GAIN)
            self.slot_key = nn.Linear(width, config.key_dim, bias=False)
            nn.init.orthogonal_(self.slot_key.weight)
        for module in (self.lstm, self.memory):
            if module is not None:
                _initialise_recurrent(module)

    def initial_state(self, num_envs: int) -> SlotsState:
        """Return zeros: `h` and `c` of `[1, E, H]`, `slots` of `[1, E, N, M]`."""
        shared, each = (1, num_envs, self.latent_dim), self.slot_dim if self.memory is not None else 0
        sizes = (shared, shared, (1, num_envs, self._num_slots, each))
        return SlotsState(*(self.norm.weight.new_zeros(size) for size in sizes))

    def forward(self, features: Features, state: SlotsState, episode_start: Tensor) -> NetworkOutput:
        """Run `[E, T]` steps; the state is zeroed before steps where `episode_start` is true.

        Args:
            features: `obs [E, T, D]`, `indices [E, T, width]`.
            state: As `initial_state` has it.
            episode_start: Bool `[E, T]`.

        Returns:
            The latent `[E, T, H]`, logits `[E, T, head.size]`, and `[E, T, O, N]` for the slot head, and the state.
        """
        base = features.obs[..., : self._base]
        blocks = features.obs[..., self._base :].unflatten(-1, (self._num_slots, -1))
        present = None if self._present is None else blocks[..., self._present] > 0.5
        seen = self.all_encoder(torch.cat([base, *self._embedded(features, self._shared)], dim=-1))
        slots = self.slot_encoder(torch.cat([blocks, *self._embedded(features, self._own)], dim=-1))
        memory = state.slots
        if self.memory is not None:
            recalled, after = run_with_resets(self._remember, slots, SlotMemory(memory), episode_start)
            slots, memory = slots + recalled, after.slots
        mixed = self.mixer(torch.cat([seen, self.pool(slots, seen, present)], dim=-1))
        output, shared = run_with_resets(self._run_lstm, mixed, SharedState(state.h, state.c), episode_start)
        latent = self.norm(output)
        logits = {name: self.get_submodule(f"{name}_head")(latent) for name in self._heads}
        if self._slot is not None:
            queries = self.slot_query(latent).unflatten(-1, (self._ops, -1))
            keys = self.slot_key(slots)
            logits[self._slot] = queries @ keys.transpose(-1, -2) / math.sqrt(keys.shape[-1])
        return NetworkOutput(latent, logits, SlotsState(*shared, memory))

    def _embedded(self, features: Features, blocks: Sequence[IndexField]) -> list[Tensor]:
        """Return embedded indices: of all `[E, T, width·embed_dim]`, of slots `[E, T, N, embed_dim]`."""
        found = []
        for block in blocks:
            indices = features.indices[block.name]
            table = self.get_submodule(f"{block.name}_embedding")
            value = table(torch.where(indices < 0, block.vocabulary, indices))
            found.append(value if block.per_slot else value.flatten(-2))
        return found

    # Whatever surrounds them: a rounded state would drift over an episode, and differ between acting and learning.

    def _remember(self, slots: Tensor, state: SlotMemory) -> tuple[Tensor, SlotMemory]:
        """Run the memories of all slots over `[rows, span, N, M]`, each slot as a row of its own."""
        assert self.memory is not None
        rows, span, count, width = slots.shape
        with without_autocast(slots.device):
            each = widened(slots).transpose(1, 2).reshape(rows * count, span, width)
            output, last = self.memory(each, state.slots.flatten(1, 2))
        after = SlotMemory(last.unflatten(1, (rows, count)))
        return output.view(rows, count, span, width).transpose(1, 2), after

    def _run_lstm(self, inputs: Tensor, state: SharedState) -> tuple[Tensor, SharedState]:
        with without_autocast(inputs.device):
            output, last = self.lstm(widened(inputs), tuple(state))
        return output, SharedState(*last)


def _check(schema: FeatureSchema, slots: int) -> None:
    if not schema.per_slot or not schema.num_slots:
        raise IncompatiblePlan(
            "The network 'lstm-slots' looks at each slot, and these features have no part for each.",
            hint="Choose another with --use network=NAME: esper plugins list --kind network.",
        )
    if schema.num_slots != slots:
        raise IncompatiblePlan(
            f"The network 'lstm-slots' sees {schema.num_slots} slots, and the slot head chooses among {slots}.",
            hint="Choose features with a part for each slot: --use features=flat.",
        )


def _encoder(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(*_layer(inputs, width), *_layer(width, width))


def _layer(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(_linear(inputs, width, math.sqrt(2)), nn.LayerNorm(width), nn.ReLU())


def _linear(inputs: int, outputs: int, gain: float) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


def _initialise_recurrent(module: nn.LSTM | nn.GRU) -> None:
    """Make every gate's block orthogonal, biases 0, and the forget bias 1 in one of the two bias vectors."""
    for name, parameter in module.named_parameters():
        if name.startswith("weight"):
            for block in parameter.data.split(module.hidden_size):
                nn.init.orthogonal_(block)
        else:
            nn.init.zeros_(parameter)
            if name.startswith("bias_ih") and isinstance(module, nn.LSTM):
                parameter.data[module.hidden_size : 2 * module.hidden_size] = FORGET_BIAS
