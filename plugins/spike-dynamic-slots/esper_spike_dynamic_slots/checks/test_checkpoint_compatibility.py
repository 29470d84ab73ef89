"""Checkpoint compatibility: a policy resumes where it was saved, and is refused with advice where it does not fit."""

from __future__ import annotations

import re
from collections.abc import Callable

import torch

from esper_core.composition.fit import ANY_SLOTS
from esper_core.contracts.errors import CheckpointMismatch
from esper_spike_dynamic_slots.saved import Shelf, log_prob

CATEGORY = "checkpoint compatibility"
Record = Callable[[str, object], None]


def test_a_loaded_policy_goes_on_where_it_was(shelf: Shelf, num_slots: int) -> None:
    """With the slot count it was saved with, its log-probabilities are bit for bit the same."""
    saved = shelf.saved(num_slots)
    now = log_prob(shelf.load(num_slots, num_slots), saved.steps)
    other = [name for name, value in saved.log_prob.items() if not torch.equal(value, now[name])]
    assert not other, f"log-probabilities of a loaded policy differ: heads {', '.join(other)}"


def test_it_loads_where_it_fits_alone(shelf: Shelf, num_slots: int, saved_slots: int, record_property: Record) -> None:
    """One cell of the matrix; off its diagonal it loads where the network says so, and is refused otherwise."""
    path = shelf.saved(saved_slots).path
    refusal: CheckpointMismatch | None = None
    try:
        trainer = shelf.load(saved_slots, num_slots)
    except CheckpointMismatch as error:
        refusal = error
    record_property("loads", refusal is None)
    if refusal is None:
        assert saved_slots == num_slots or shelf.portable, (
            f"weights of {saved_slots} slots load with {num_slots}, and the network does not provide '{ANY_SLOTS}'"
        )
        record_property("portable weights", shelf.portable and sum(p.numel() for p in trainer.policy.parameters()))
        now = log_prob(trainer, shelf.saved(num_slots).steps)
        assert all(value.isfinite().all() for value in now.values()), (
            f"what was saved with {saved_slots} slots is not finite with {num_slots}"
        )
        return
    text = str(refusal).replace(str(path), "PATH")
    record_property("refusal", text)
    message = " ".join(text.split())
    assert saved_slots != num_slots, f"it is refused with its own number of slots: {message}"
    assert not shelf.portable, f"it provides '{ANY_SLOTS}', but is refused: {message}"
    named = re.search(rf"\b{saved_slots}\b.*\b{num_slots}\b", refusal.message, re.DOTALL)
    assert named, f"the refusal does not say {saved_slots} and {num_slots} slots: {message}"
    assert "--slots" in refusal.hint, f"the refusal does not say what to do: {message}"
