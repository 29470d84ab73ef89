"""What rank 0 does beside training: it asks all ranks for their shares of a rollout and puts them together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from esper_core.contracts.errors import EpisodesLost, EsperError, IncompatiblePlan
from esper_core.contracts.foreign import Owners
from esper_core.contracts.protocols import Environment, FeatureExtractor, MaskProvider
from esper_core.contracts.share import Share
from esper_core.contracts.sides import Driver
from esper_core.learning.collector import Collected, Collecting
from esper_core.learning.episodes import Episodes
from esper_core.learning.guard import NotFinite
from esper_core.learning.rollout import Rollout
from esper_core.learning.state import Resumable
from esper_core.learning.stopwatch import Stopwatch
from esper_core.learning.teacher import Teacher
from esper_core.policy.policy import Policy
from esper_core.ranks.group import Ranks
from esper_core.ranks.playing import End, Load, Meet, Order, Play, Played, Save, SharePlayer, Tell

BROADCAST, GATHER = "broadcast", "gather"
"""Phases of an update: telling the ranks what to play with, and waiting for what they played."""


class Leader:
    """Rank 0 of a run: `idle` while nobody owes an answer."""

    def __init__(self, ranks: Ranks, total: int, match: int) -> None:
        self.ranks, self._match, self._total, self.idle = ranks, match, total, True
        self.share = Share.of(ranks.rank, ranks.count, total, match)
        self._player: SharePlayer | None = None

    @property
    def player(self) -> SharePlayer:
        """Who plays the share of rank 0."""
        assert self._player is not None
        return self._player

    def everyone(self, environment: Environment) -> Environment:
        """Return what stands for the environment of all rows."""
        kinds: list[Any] = [AllRows]
        kinds += [Saved] if isinstance(environment, Resumable) else []
        kinds += [WithSides] if hasattr(environment, "set_opponents") else []
        return type("AllRows", tuple(reversed(kinds)), {})(self, environment)

    def collector(
        self,
        environment: Any,
        features: FeatureExtractor,
        masks: MaskProvider,
        policy: Policy,
        rollout: Rollout,
        generator: torch.Generator,
        owners: Owners,
        restarts: bool,
        rows: int,
    ) -> Collecting:
        """Return what collects the rollout of all rows; arguments are those of `Collector`."""
        for kind, part in (("features", features), ("masks", masks)):
            if isinstance(part, Resumable) and part.state():
                raise IncompatiblePlan(
                    f"{owners[kind]} changes while it looks, so ranks that look at different rows would differ.",
                    hint="Train in one process, or choose another.",
                )
        own = rollout.like(self.share.count)
        self._player = SharePlayer(
            policy, features, masks, environment.here, own, self.share, owners, restarts=restarts, rows=rows
        )
        return Gathering(self, policy, rollout, generator, restarts)

    def ask(self, order: Order, own: Callable[[], Any]) -> list[Any]:
        """Let every rank carry out an order, and this one do its part; return the answers in the order of ranks."""
        self.idle = False
        self.ranks.tell(order)
        answers = self.ranks.gather(own())
        self.idle = True
        return answers

    def end(self) -> None:
        """Tell the others that nothing follows, unless one of them owes an answer: it is ended by its launcher."""
        if self.idle:
            self.idle = False
            with suppress(EsperError):
                self.ranks.tell(End())


class AllRows:
    """Stands for the environment of all rows on rank 0, which plays only those `here`."""

    def __init__(self, leader: Leader, here: Environment) -> None:
        self._leader, self.here = leader, here
        self.num_envs, self.horizon = leader.share.total, here.horizon
        self.actions, self.state_spec = here.actions, here.state_spec

    def close(self) -> None:
        """Close the rows here, and let the other ranks end."""
        self._leader.end()
        self.here.close()


class Saved(AllRows):
    """One whose state can be saved."""

    def state(self) -> dict[str, Any]:
        """Return the state of all rows."""
        player = self._leader.player
        return player.joined(self._leader.ask(Save(), player.save))

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Let all rows go on where `state()` was taken; raises EpisodesLost where some cannot."""
        order = Load(state)
        if lost := [why for why in self._leader.ask(order, lambda: self._leader.player.load(order)) if why]:
            raise EpisodesLost(lost[0])


class WithSides(AllRows):
    """One whose other side is played by opponents; who is known to the ranks is named to them, and not sent again."""

    _sent: Mapping[str, Driver] = {}

    @property
    def learner_side(self) -> NDArray[np.int64]:
        """Which side the rows of each match are."""
        return np.concatenate(self._told("learner_side"))

    @property
    def opponents(self) -> tuple[str, ...]:
        """Names of those who drive the other side of the matches in progress."""
        return tuple(dict.fromkeys(name for names in self._told("opponents") for name in names))

    def set_opponents(self, drivers: Sequence[Driver], weights: Sequence[float]) -> None:
        """Let every match that begins from now on draw one of these."""
        known = [one.name if self._sent.get(one.name) is one else one for one in drivers]
        own = Meet(list(drivers), list(weights))
        self._leader.ask(Meet(known, list(weights)), lambda: self._leader.player.meet(own))
        self._sent = {one.name: one for one in drivers}

    def _told(self, name: str) -> list[Any]:
        order = Tell(name)
        return self._leader.ask(order, lambda: self._leader.player.tell(order))


class Gathering:
    """Collects the rollout of all rows: every rank plays its share."""

    def __init__(
        self, leader: Leader, policy: Policy, rollout: Rollout, generator: torch.Generator, restarts: bool
    ) -> None:
        self.restarts = restarts
        self.teacher: Teacher | None = None
        self._leader, self._policy, self._rollout, self._generator = leader, policy, rollout, generator
        self._episodes: Episodes | None = None
        self._replaced = False

    @property
    def episodes(self) -> Episodes | None:
        """The episodes of all rows in the middle of which the last rollout ended."""
        return self._episodes

    @episodes.setter
    def episodes(self, episodes: Episodes | None) -> None:
        self._episodes, self._replaced = episodes, True

    def collect(self, seed: int | None, on_step: Callable[[int], object] = lambda _: None) -> Collected:
        """Fill the rollout, as `Collector.collect`; `seconds` also says how long was told and waited."""
        watch, rollout = Stopwatch(), self._rollout
        going_on = self._episodes if self._replaced else None
        order = Play(dict(self._policy.state_dict()), self._generator.get_state(), seed, self._replaced, going_on)
        own: Played | None = None

        def play() -> Played:
            nonlocal own
            watch.lap(BROADCAST)
            own = self._leader.player.play(order, on_step)
            watch.lap("policy", own.seconds)
            return own

        rollout.begin()
        played: list[Played] = self._leader.ask(order, play)
        self._episodes = _episodes([one.episodes for one in played])
        # Where the episodes of some rows were lost, all begin anew, as they do in one process.
        self._replaced = self._episodes is None
        self._advance(played)
        if failed := [one.not_finite for one in played if one.not_finite]:
            raise NotFinite(failed[0])
        rollout.join([one.part for one in played])
        rollout.finish()
        watch.lap(GATHER)
        returns = _by_step([(one.returns or [], _ended(one)) for one in played]) if self.restarts else None
        events = _by_step([(one.events, one.counts) for one in played])
        return Collected(events, int(rollout.valid.sum()), watch.seconds, returns)

    def _advance(self, played: list[Played]) -> None:
        """Let the stream of actions go on where it would be if all rows had been played here."""
        furthest = max(played, key=lambda one: one.steps)
        self._generator.set_state(furthest.stream)


def _episodes(shares: list[Episodes | None]) -> Episodes | None:
    """Return the episodes of all rows, of those of shares; None where those of some were lost."""
    known = [share for share in shares if share is not None]
    if len(known) < len(shares):
        return None
    first = known[0]
    recurrent = first.recurrent
    if recurrent is not None:
        parts = zip(*(share.recurrent for share in known), strict=True)
        recurrent = type(recurrent)._make(torch.cat(part, 1) for part in parts)
    return Episodes(
        {name: torch.cat([share.state[name] for share in known]) for name in first.state},
        recurrent,
        np.concatenate([share.ended for share in known]),
        np.concatenate([share.returns for share in known]),
        None if first.privileged is None else torch.cat([share.privileged for share in known]),  # type: ignore[misc]
    )


def _ended(played: Played) -> list[int]:
    """Return how many episodes ended with every step."""
    _, _, terminated, truncated, _ = played.part.outcomes
    found: list[int] = (terminated | truncated).sum(0).tolist()
    return found


def _by_step(shares: list[tuple[list[Any], list[int]]]) -> list[Any]:
    """Return what shares told, of which they say how much came with every step: step by step, rows in order."""
    tellers = [(iter(told), counts) for told, counts in shares]
    return [
        next(told)
        for step in range(max(len(counts) for _, counts in shares))
        for told, counts in tellers
        for _ in range(counts[step] if step < len(counts) else 0)
    ]
