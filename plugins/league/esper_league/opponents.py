"""Component `league` of kind `opponents`: a learner plays against the entries of a league, and against itself."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from esper_core.composition.plan import describe_plan
from esper_core.contracts.errors import ConfigError, EsperError, UserError
from esper_core.contracts.sides import Driver
from esper_core.learning.randomness import ProcessStreams
from esper_core.policy.drivers import PolicyDriver
from esper_league.config import LeagueConfig
from esper_league.league import EMPTY, League
from esper_league.loading import load_driver
from esper_league.standing import Rival, Standing

if TYPE_CHECKING:
    from esper_core.composition.plan import Plan
    from esper_core.contracts.protocols import BuildContext, FeatureExtractor, MaskProvider
    from esper_core.policy.policy import Policy
    from esper_core.registry.index import Index
    from esper_core.runs.directory import RunDirectory

_logger = logging.getLogger("esper")

SELF = "(self)"
"""The learner as its own opponent; no entry can be called so."""


class LeagueOpponents:
    """Kind `opponents`: chooses among the entries of a league, and adds the learner to it now and then.

    The league is looked at after every rollout, and what was seen is part of the run's checkpoints: what another
    process changes meanwhile counts from the next update on. Matches of training are on record in the run, not in the
    league: the learner that played them is nobody who could be met again.
    """

    def __init__(self, config: LeagueConfig, context: BuildContext) -> None:
        if not config.dir:
            message = "Nothing says which league to play in."
            raise ConfigError(message, hint="Name its directory: --opponents DIR, or -o opponents.dir=DIR.")
        self._config, self._environment = config, context.parts["environment"]
        self._standing = Standing()
        self._drivers: dict[str, Driver] = {}
        self._weights: dict[str, float] = {}
        self._alone = False

    def join(self, plan: Plan, index: Index) -> None:
        """Find out whether the plan's environment is what the league plays.

        Raises:
            UserError: there is no league.
            LeagueMismatch: it is another game; the message holds the table of differences.
        """
        with self._open() as league:
            league.check_plan(plan, index)
        self._index, self._rows = index, describe_plan(plan, index).rows

    # An update ------------------------------------------------------------------------------------------------------

    def begin(
        self, update: int, policy: Policy, features: FeatureExtractor, masks: MaskProvider
    ) -> tuple[Sequence[Driver], Sequence[float]]:
        """Return who may be met in the rollout of an update, with what weights; see `Opponents`.

        Raises:
            UserError: nobody in the league can be met, and the learner does not play itself.
            EsperError: an entry that a match in progress needs cannot be loaded.
        """
        with self._open() as league:
            if self._standing.rivals is None:
                self._standing.look(league.entries())
            if self._config.self_play < 1.0:
                self._load(league)
            shares = self._shares()
            rivals = self._standing.rivals or {}
            for name in self._environment.opponents:
                if name not in shares and name in rivals:
                    # A match in progress goes on with whom it began, retired or not.
                    if name not in self._drivers:
                        self._drivers[name] = self._driver(league, rivals[name])
                    shares[name] = 0.0
        self._weights = shares
        self._drivers = {name: driver for name, driver in self._drivers.items() if name in shares}
        drivers = [self._drivers[name] for name in shares if name != SELF]
        if SELF in shares or SELF in self._environment.opponents:
            shares.setdefault(SELF, 0.0)
            # The learner goes on learning, and its features may go on counting.
            own = copy.deepcopy(policy).eval().requires_grad_(False)
            drivers.append(PolicyDriver(SELF, own, copy.deepcopy(features), copy.deepcopy(masks), self._rows))
        return drivers, [shares[driver.name] for driver in drivers]

    def played(self, update: int, events: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """Take in the matches that ended, look at the league anew, and return metrics; see `Opponents`."""
        matches = [(event["opponent"], float(event["won"])) for event in events]
        in_league = [(name, won) for name, won in matches if name != SELF]
        self._standing.played(in_league)
        rating = self._standing.learner
        count = sum(weight > 0 for name, weight in self._weights.items() if name != SELF)
        metrics = {"learner_rating": rating.rating, "learner_rd": rating.rd, "opponents": float(count)}
        if in_league:
            metrics["won_league"] = sum(won for _, won in in_league) / len(in_league)
        metrics |= {f"weight/{name}": weight for name, weight in self._weights.items()}
        for name in dict.fromkeys(name for name, _ in matches):
            scored = [won for other, won in matches if other == name]
            metrics |= {f"games/{name}": float(len(scored)), f"won/{name}": sum(scored) / len(scored)}
        with self._open() as league:
            self._standing.look(league.entries())
        return metrics

    def saved(self, run: RunDirectory, checkpoint: Path) -> None:
        """Add the policy of a checkpoint to the league, every so many updates; once, however often it is told."""
        update, every = int(checkpoint.name), self._config.candidate_every
        if every and update % every == 0:
            with self._open() as league:
                league.add_run(run, self._index, at=str(update))

    # Going on -------------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return what later opponents depend on."""
        return self._standing.state()

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on where `state()` was taken."""
        self._standing = Standing.restored(state)
        self._drivers = {}

    # Its pieces -----------------------------------------------------------------------------------------------------

    def _open(self) -> League:
        return League.open(self._config.dir, on_wait=_logger.warning)

    def _playing(self) -> list[Rival]:
        return self._standing.playing(self._config.recent_candidates)

    def _shares(self) -> dict[str, float]:
        """Return the weights of those that new matches draw, by name."""
        own, playing = self._config.self_play, self._playing()
        if not playing and not own:
            raise UserError(
                f"Nobody in the league {self._config.dir} can be played against.",
                hint=f"{EMPTY.format(self._config.dir)}. Or let the learner play itself: --self-play 1",
            )
        if not playing:
            if not self._alone:
                _logger.warning(
                    "Nobody in the league %s can be played against: the learner plays itself alone, until somebody is "
                    "added.",
                    self._config.dir,
                )
            self._alone = True
            return {SELF: 1.0}
        shares = zip(playing, self._standing.weights(self._config.matchmaking, playing), strict=True)
        found = {rival.name: (1.0 - own) * share for rival, share in shares if own < 1.0}
        return {**found, SELF: own} if own else found

    def _load(self, league: League) -> None:
        """Load whom a match may draw; who cannot be loaded is left out from now on, which is said."""
        while absent := [rival for rival in self._playing() if rival.name not in self._drivers]:
            rival = absent[0]
            try:
                self._drivers[rival.name] = self._driver(league, rival)
            except EsperError as error:
                self._standing.broken.add(rival.id)
                _logger.warning("'%s' is not played against: %s", rival.name, error.message)

    def _driver(self, league: League, rival: Rival) -> Driver:
        """Return what plays as an entry, under its name; no random number is drawn on the way."""
        streams = ProcessStreams.now(torch.device("cpu"))
        try:
            driver: Any = load_driver(league, league.entry(rival.id), self._index)
        finally:
            streams.resume(torch.device("cpu"))
        driver.name = rival.name  # what people read in events and metrics
        found: Driver = driver
        return found
