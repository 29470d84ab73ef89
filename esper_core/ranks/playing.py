"""What every rank does: play its share of the rows when rank 0 says so, and say what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from attrs import evolve, field, frozen

from esper_core.contracts.errors import EpisodesLost, EsperError
from esper_core.contracts.foreign import Owners
from esper_core.contracts.protocols import Environment, FeatureExtractor, MaskProvider, Shareable
from esper_core.contracts.share import Share
from esper_core.contracts.sides import Driver
from esper_core.contracts.tensors import mapped
from esper_core.learning.boundary import taken_state
from esper_core.learning.collector import Collector
from esper_core.learning.episodes import Episodes
from esper_core.learning.guard import NotFinite
from esper_core.learning.rollout import Part, Rollout
from esper_core.policy.policy import Policy
from esper_core.ranks.acting import CountingEnvironment, SharedFeatures, SharedPolicy, Widening


@frozen
class Play:
    """Rank 0 asks for a rollout.

    Attributes:
        weights: The policy's.
        stream: Where the stream is from which actions are drawn.
        seed: That of a reset of all, where one is needed.
        replaced: Whether `episodes`, those of all rows, are to be gone on with instead of each rank's own; None for new
            ones.
    """

    weights: Mapping[str, Any]
    stream: torch.Tensor
    seed: int | None
    replaced: bool = False
    episodes: Episodes | None = None


@frozen
class Save:
    """Rank 0 asks for the state of the environment."""


@frozen
class Load:
    """Rank 0 says where the environment of all rows goes on."""

    state: Mapping[str, Any]


@frozen
class Meet:
    """Rank 0 says who may be played against; a name stands for the driver that had it at the last call."""

    drivers: Sequence[Driver | str]
    weights: Sequence[float]


@frozen
class Tell:
    """Rank 0 asks for an attribute of the environment."""

    name: str


@frozen
class End:
    """Nothing follows."""


Order = Play | Save | Load | Meet | Tell | End


@frozen
class Played:
    """What came of a rollout in one share.

    Attributes:
        part: What was played.
        events, counts: What was told of it, rows counted from the first of all; how much in every step.
        returns: Of the episodes that ended, where a rollout is part of episodes.
        stream: Where the stream is from which actions are drawn, and how many steps were drawn from it.
        episodes: What is gone on with, if anything.
        not_finite: What became NaN or infinite, if anything did.
    """

    part: Part
    events: list[dict[str, Any]]
    counts: list[int]
    returns: list[float] | None
    stream: torch.Tensor
    episodes: Episodes | None
    seconds: Mapping[str, float] = field(factory=dict)
    not_finite: str = ""

    @property
    def steps(self) -> int:
        """Steps that were played."""
        return len(self.counts)


class SharePlayer:
    """Carries out orders of rank 0 in one share of the rows."""

    def __init__(
        self,
        policy: Policy,
        features: FeatureExtractor,
        masks: MaskProvider,
        environment: Environment,
        rollout: Rollout,
        share: Share,
        owners: Owners,
        *,
        restarts: bool,
        rows: int,
    ) -> None:
        self.share, self._environment, self._owners = share, environment, owners
        self._policy, self._generator = policy, torch.Generator()
        self._counting, self._drivers = CountingEnvironment(environment), dict[str, Driver]()
        widening: Any = Widening(share)
        acting: Any = SharedPolicy(policy, widening)
        there: Any = self._counting
        self._collector = Collector(
            there,
            SharedFeatures(features, widening),
            masks,
            acting,
            rollout,
            self._generator,
            owners,
            restarts,
            rows,
            first=share.first,
        )

    def play(self, order: Play, on_step: Callable[[int], object] = lambda _: None) -> Played:
        """Play a rollout; the policy has its weights already. Raises PluginError."""
        self._generator.set_state(order.stream)
        collector, counts = self._collector, self._counting.counts
        counts.clear()
        if order.replaced:
            collector.episodes = None if order.episodes is None else self._own(order.episodes)
        failure, events, returns, seconds = "", list[dict[str, Any]](), None, dict[str, float]()
        try:
            found = collector.collect(order.seed, on_step)
            events, returns, seconds = found.events, found.returns, found.seconds
        except NotFinite as error:
            failure = str(error)
        first = self.share.first
        return Played(
            part=collector.rollout.part(),
            events=[{**event, "env": event["env"] + first} for event in events],
            counts=list(counts),
            returns=returns,
            stream=self._generator.get_state(),
            episodes=collector.episodes,
            seconds=seconds,
            not_finite=failure,
        )

    def save(self) -> dict[str, Any] | None:
        """Return the state of the environment of the share; None where it keeps none. Raises PluginError."""
        state = getattr(self._environment, "state", None)
        if state is None:
            return None
        with self._owners["environment"].doing("giving its state"):
            found = state()
        return taken_state(self._owners["environment"], found)

    def load(self, order: Load) -> str:
        """Let the environment go on; return why it cannot, where that is no error."""
        environment: Any = self._environment
        try:
            with self._owners["environment"].doing("taking up its saved state"):
                environment.load_state(environment.parted(order.state))
        except EpisodesLost as lost:
            return lost.message
        return ""

    def meet(self, order: Meet) -> None:
        """Let new matches draw their opponents of these."""
        environment: Any = self._environment
        drivers = [self._drivers[one] if isinstance(one, str) else one for one in order.drivers]
        self._drivers = {one.name: one for one in drivers}
        with self._owners["environment"].doing("taking up its opponents"):
            environment.set_opponents(drivers, order.weights)

    def tell(self, order: Tell) -> Any:
        """Return an attribute of the environment of the share."""
        return getattr(self._environment, order.name)

    def joined(self, states: list[Any]) -> dict[str, Any]:
        """Return the state of all rows; raises PluginError."""
        owner = self._owners["environment"]
        if not isinstance(self._environment, Shareable):
            raise owner.breach("it says `shares` and keeps a state, but has no joined and parted")
        with owner.doing("joining the states of shares"):
            return self._environment.joined(states)

    def obey(self, order: Order) -> Any:
        """Carry out an order of rank 0 elsewhere; return the answer."""
        if isinstance(order, Play):
            self._policy.load_state_dict(dict(order.weights))
            return self.play(order)
        if isinstance(order, Save):
            return self.save()
        if isinstance(order, Load):
            return self.load(order)
        if isinstance(order, Meet):
            return self.meet(order)
        if isinstance(order, Tell):
            return self.tell(order)
        raise EsperError(f"Rank 0 says {order!r:.80}, which nobody here knows.")

    def _own(self, episodes: Episodes) -> Episodes:
        """Return the episodes of the share, of those of all rows."""
        rows = self.share.rows
        return evolve(
            episodes,
            state={name: value[rows] for name, value in episodes.state.items()},
            recurrent=mapped(episodes.recurrent, lambda value: value[:, rows].contiguous()),
            ended=episodes.ended[rows].copy(),
            returns=episodes.returns[rows].copy(),
            privileged=mapped(episodes.privileged, lambda value: value[rows].contiguous()),
        )
