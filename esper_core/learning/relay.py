"""Training one policy with several numbers of slots: for each update one is drawn, and has a trainer of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from attrs import evolve

from esper_core.contracts.errors import CheckpointMismatch
from esper_core.contracts.foreign import Owners
from esper_core.contracts.protocols import Environment, FeatureExtractor
from esper_core.contracts.sides import Opponents
from esper_core.learning.normalise import ReturnNormaliser
from esper_core.learning.rollout import Rollout
from esper_core.learning.state import TrainerState
from esper_core.learning.trainer import StepProgress, Trainer, Update
from esper_core.policy.policy import Policy

LAST_RETURNS = "last_returns"


def draw(counts: Sequence[int], seed: int, update: int) -> int:
    """Return the number of slots that an update, from 1, is played with; it depends on nothing before it.

    In every `len(counts)` updates each comes once, in an order drawn anew.
    """
    block, place = divmod(update - 1, len(counts))
    word = hashlib.blake2b(f"{seed}/slots/{block}".encode(), digest_size=8).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(word, "little") >> 1)
    return counts[int(torch.randperm(len(counts), generator=generator)[place])]


class Relay:
    """Hands what is learned from trainer to trainer, one for each number of slots.

    Each is built when its number is first drawn, and kept, with its environment and its rollout. What is handed on is
    the whole state of a trainer: weights, moments, the units of returns, random streams, and what features, masks and
    loss remember. Environments have nothing to hand on, since every update begins its episodes from a seed of its own.

    Args:
        counts: Numbers of slots.
        seed: Of the run; draws depend on it and on the update.
        build: Returns the trainer of a number.
    """

    def __init__(self, counts: Sequence[int], seed: int, build: Callable[[int], Trainer]) -> None:
        self._counts, self._seed, self._build = tuple(counts), seed, build
        self._trainers: dict[int, Trainer] = {}
        self._returns: dict[int, float] = {}
        self._count = draw(self._counts, seed, 1)
        self._current = self._trainer(self._count)

    def run(self, updates_total: int, on_step: Callable[[StepProgress], None] | None = None) -> Iterator[Update]:
        """Yield updates as a trainer does; `slots` among their metrics is the number that was drawn."""
        while self.updates_done < updates_total:
            count = draw(self._counts, self._seed, self.updates_done + 1)
            self._hand_on(count)
            update = next(self._current.run(updates_total, on_step))
            yield evolve(
                update, metrics={**update.metrics, "slots": float(count)}, score=self._score(count, update.score)
            )
        # A trainer has the last word on whether enough of its updates could be used.
        yield from self._current.run(updates_total, on_step)

    def state(self) -> TrainerState:
        """Return a copy of everything that the next update depends on."""
        state = self._current.state()
        returns = {str(count): value for count, value in self._returns.items()}
        return evolve(state, counters={**state.counters, LAST_RETURNS: returns})

    def load_state(self, state: TrainerState) -> None:
        """Continue exactly where `state()` was taken; raises as a trainer does."""
        self._current.load_state(state)
        self._returns = {int(count): value for count, value in state.counters[LAST_RETURNS].items()}

    def close(self, say: Callable[[str], None]) -> None:
        """Free what the environments hold; `say` takes in one line where that fails."""
        for trainer in self._trainers.values():
            trainer.close(say)

    # The trainer whose turn it is -----------------------------------------------------------------------------------

    @property
    def policy(self) -> Policy:
        """The policy, of the number of slots that was drawn last."""
        return self._current.policy

    @property
    def features(self) -> FeatureExtractor:
        """Its features."""
        return self._current.features

    @property
    def environment(self) -> Environment:
        """Its environment."""
        return self._current.environment

    @property
    def rollout(self) -> Rollout:
        """Its rollout, of as many steps with every number."""
        return self._current.rollout

    @property
    def normaliser(self) -> ReturnNormaliser:
        """The units of returns."""
        return self._current.normaliser

    @property
    def opponents(self) -> Opponents | None:
        """Who is played against."""
        return self._current.opponents

    @property
    def owners(self) -> Owners:
        """Whose code the parts are."""
        return self._current.owners

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._current.device

    @property
    def notes(self) -> list[str]:
        """What people are told."""
        return self._current.notes

    @property
    def updates_done(self) -> int:
        """Updates done with all numbers."""
        return self._current.updates_done

    # Its pieces -----------------------------------------------------------------------------------------------------

    def _trainer(self, count: int) -> Trainer:
        if count not in self._trainers:
            self._trainers[count] = self._build(count)
        return self._trainers[count]

    def _hand_on(self, count: int) -> None:
        if count == self._count:
            return
        trainer = self._trainer(count)
        try:
            trainer.load_state(self._current.state())
        except CheckpointMismatch as error:
            said = f"what is learned with {self._count} slots does not fit {count}: {error.message.rstrip('.')}"
            raise self.owners["network"].breach(f"it provides 'network:any-slots', but {said}") from error
        self._count, self._current = count, trainer

    def _score(self, count: int, score: float | None) -> float | None:
        """Return the mean of the last scores of all numbers, so that none is best for being played with the easiest."""
        if score is not None:
            self._returns[count] = score
        known: Mapping[int, Any] = self._returns
        return sum(known.values()) / len(known) if len(known) == len(self._counts) else None
