"""What networks and features must do that say that they are for any number of slots.

Weights of such a network fit each number, and mean the same with it. It is shown slots of which one more thing is
known, `PRESENT`, and compared with itself, shown them in another way. What such features say means the same for each.
"""

from __future__ import annotations

from typing import Any

import torch
from attrs import evolve, frozen
from torch import Tensor

from esper_core.composition.build import build_beside
from esper_core.contracts.features import PRESENT, Feature, FeatureSchema
from esper_core.contracts.protocols import Features, NetworkOutput
from esper_testing.case import ENVS, STEPS
from esper_testing.conformance.everywhere import said
from esper_testing.conformance.subject import SLOTS, Subject
from esper_testing.conformance.tensors import TOLERANCE, assert_finite, assert_same, assert_shape, copied
from esper_testing.randomness import surroundings

COUNTS = range(1, 13)
"""Numbers of slots with which the weights are compared."""

SOME = (1, 2, 5)
"""Numbers of slots that are shown in two ways."""


@frozen
class Shown:
    """What is seen: of all, base `[E, T, B]` and indices `[E, T, width]`; of slots, blocks `[E, T, N, P]` and indices.

    Indices of slots are `[E, T, N]`.
    """

    base: Tensor
    blocks: Tensor
    indices: dict[str, Tensor]
    own: dict[str, Tensor]

    def chosen(self, slots: list[int]) -> Shown:
        """Return what is seen of some slots, in an order, each as often as it is named."""
        own = {name: value[..., slots] for name, value in self.own.items()}
        return evolve(self, blocks=self.blocks[:, :, slots], own=own)

    def features(self) -> Features:
        """Return it as a network gets it."""
        return Features(torch.cat([self.base, self.blocks.flatten(-2)], dim=-1), self.indices | self.own)


@frozen
class Built:
    """The network with a number of slots."""

    network: Any
    schema: FeatureSchema
    slot: str

    @torch.no_grad()
    def run(self, shown: Shown) -> NetworkOutput:
        """Run it over all steps, from its first state."""
        start = torch.zeros(ENVS, STEPS, dtype=torch.bool)
        output: NetworkOutput = self.network(shown.features(), self.network.initial_state(ENVS), start)
        return output

    def said(self, output: NetworkOutput, slots: list[int]) -> dict[str, Any]:
        """Return the latent and the log-probabilities of all heads, of some slots alone, whatever others are worth."""
        logits = {n: v[..., slots] if n == self.slot else v for n, v in output.logits.items()}
        return {"latent": output.latent, "log-probabilities": {n: v.log_softmax(-1) for n, v in logits.items()}}


def weights(subject: Subject) -> None:
    """It claims `network:any-slots`: its weights have the same names, shapes and first values for 1 to 12 slots."""
    first = _built(subject, 1)
    expected = copied(dict(first.network.state_dict()))
    for count in COUNTS:
        built = _built(subject, count)
        with said(f"N={count}"):
            own = dict(built.network.state_dict())
            odd = sorted(own.keys() ^ expected.keys())
            assert not odd, f"other weights than with one slot: {', '.join(odd)}"
            for name, value in own.items():
                assert_shape(value, tuple(expected[name].shape), f"'{name}', as with one slot,")
            assert_same(own, expected, "its first weights, and those with one slot")
            output = built.run(_shown(built.schema))
            assert_finite({"latent": output.latent, "logits": output.logits}, "what it says")


def permuted(subject: Subject) -> None:
    """It claims `network:any-slots`: in another order slots have their probabilities in that order, and that is all."""
    for count in SOME:
        built = _built(subject, count)
        shown, order = _shown(built.schema), torch.randperm(count, generator=torch.Generator().manual_seed(1)).tolist()
        order = order if order != sorted(order) else order[::-1]
        with said(f"N={count}"):
            before = built.said(built.run(shown), order)
            after = built.said(built.run(shown.chosen(order)), list(range(count)))
            assert_same(after, before, "what it says of slots in another order", TOLERANCE)


def doubled(subject: Subject) -> None:
    """It claims `network:any-slots`: where every slot is there twice, it says the same of all, and of each twice."""
    for count in SOME:
        built, wide = _built(subject, count), _built(subject, 2 * count)
        wide.network.load_state_dict(built.network.state_dict())
        shown, each = _shown(built.schema), list(range(count))
        with said(f"N={count}"):
            before = built.said(built.run(shown), each)
            output = wide.run(shown.chosen([*each, *each]))
            for half in (each, [count + slot for slot in each]):
                assert_same(wide.said(output, half), before, "what it says where each slot is there twice", TOLERANCE)


def padded(subject: Subject) -> None:
    """It claims `network:any-slots`: slots whose feature `present` is 0 change nothing, whatever is seen of them."""
    for count in SOME:
        built, wide = _built(subject, count), _built(subject, count + 2)
        wide.network.load_state_dict(built.network.state_dict())
        more, there = _shown(wide.schema), [0, *range(2, count + 1)]
        missing = [1, count + 1]
        more.blocks[:, :, missing] *= 10
        more.blocks[:, :, missing, _present(wide.schema)] = 0
        with said(f"N={count}, and 2 that are padding"):
            alone = built.said(built.run(more.chosen(there)), list(range(count)))
            among = wide.said(wide.run(more), there)
            assert_same(among, alone, "what it says of slots alone and among padding", TOLERANCE)


def alike(subject: Subject) -> None:
    """It claims `features:any-slots`: both blocks and the indices mean the same for every number of slots."""
    first = subject.case(SLOTS[0]).schema
    for count in SLOTS:
        known = subject.case(count).schema
        with said(f"N={count}"):
            for one, other in zip((*known.base, *known.per_slot), (*first.base, *first.per_slot), strict=True):
                assert one == other, f"'{one.name}' is not what it is with {SLOTS[0]}: {one.formula}"
            blocks = [
                [evolve(block, width=1) if block.per_slot else block for block in schema.indices]
                for schema in (known, first)
            ]
            assert blocks[0] == blocks[1], f"its indices are others than with {SLOTS[0]}"


def _built(subject: Subject, count: int) -> Built:
    """Return the network with so many slots, from one seed, and what it is shown."""
    context = subject.context(count)
    schema, slot = context.feature_schema, context.actions.slot
    assert schema is not None and schema.per_slot and slot is not None, "it cannot be planned where there are slots"
    more = () if PRESENT in (entry.name for entry in schema.per_slot) else (Feature(PRESENT, "", 0, 1, ""),)
    schema = evolve(schema, per_slot=(*schema.per_slot, *more))
    with surroundings(0):
        network = build_beside(
            subject.component, subject.full_index, evolve(context, feature_schema=schema), subject.config()
        )
    return Built(network, schema, slot)


def _shown(schema: FeatureSchema) -> Shown:
    """Return random features, in which all slots are there."""
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> Tensor:
        return torch.rand(ENVS, STEPS, *shape, generator=generator)

    indices = {
        block.name: torch.randint(-1, block.vocabulary, (ENVS, STEPS, block.width), generator=generator)
        for block in schema.indices
    }
    own = {block.name for block in schema.indices if block.per_slot}
    blocks = drawn(schema.num_slots, len(schema.per_slot))
    blocks[..., _present(schema)] = 1
    return Shown(
        drawn(len(schema.base)),
        blocks,
        {name: value for name, value in indices.items() if name not in own},
        {name: value for name, value in indices.items() if name in own},
    )


def _present(schema: FeatureSchema) -> int:
    return [entry.name for entry in schema.per_slot].index(PRESENT)
