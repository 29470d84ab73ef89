"""What is seen and done, block by block: once for what there is one of, once for what every slot has. No torch.

Weights that fit any number of slots fit another number where these blocks are the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import asdict, evolve

from esper_core.contracts.actions import ActionSpec, Head
from esper_core.contracts.features import FeatureSchema


def observed_blocks(schema: FeatureSchema) -> dict[str, Any]:
    """Return an observation by blocks, JSON-able: digests, and for every block of indices its width and vocabulary."""
    return {
        "slots": schema.num_slots,
        "base block": _digest([asdict(entry) for entry in schema.base]),
        "block of a slot": _digest([asdict(entry) for entry in schema.per_slot]),
        "arrays": _digest([asdict(entry) for entry in schema.arrays]),
        "indices": {block.name: [block.width, block.vocabulary] for block in schema.indices},
    }


def action_blocks(actions: ActionSpec) -> str:
    """Return a digest of an action table in which a slot is one of any number."""
    heads = [
        Head(head.name, ("any slot",), ops=head.ops, entropy_weight=head.entropy_weight)
        if head.name == actions.slot
        else head
        for head in actions.heads
    ]
    return _digest(asdict(evolve(actions, heads=heads)))


def changed_blocks(saved: Mapping[str, Any] | None, here: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield the blocks of two observations that differ, whatever their numbers of slots: which, there and here.

    A block of indices may be as wide there as here, or have as many for every slot.
    """
    if saved is None:
        yield "blocks of the observation", "not recorded", "there are some"
        return
    for name in ("base block", "block of a slot", "arrays"):
        if saved[name] != here[name]:
            yield name, saved[name], here[name]
    nothing = [0, 0]
    for name in dict.fromkeys((*saved["indices"], *here["indices"])):
        (wide, words), (width, vocabulary) = (side["indices"].get(name, nothing) for side in (saved, here))
        if words != vocabulary or (wide != width and wide * here["slots"] != width * saved["slots"]):
            yield f"indices '{name}'", f"{wide} of {words}", f"{width} of {vocabulary}"


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
