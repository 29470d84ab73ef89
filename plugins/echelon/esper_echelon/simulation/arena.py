"""Matches of two teams of mechs, all simulated at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import evolve, frozen
from numpy.typing import NDArray

from esper_echelon.simulation.bodies import Bodies
from esper_echelon.simulation.clouds import Clouds
from esper_echelon.simulation.damage import burn
from esper_echelon.simulation.flights import Flights
from esper_echelon.simulation.ground import LAVA, WATER, Grounds
from esper_echelon.simulation.happenings import Chronicle, Happenings
from esper_echelon.simulation.heat import LAVA_DAMAGE, exchange
from esper_echelon.simulation.mechs import NAMES, Flags, Floats, Mechs
from esper_echelon.simulation.moment import Moment
from esper_echelon.simulation.movement import Footing, turn, walk
from esper_echelon.simulation.orders import Orders
from esper_echelon.simulation.pairs import Pairs, Spacing
from esper_echelon.simulation.projectiles import MISSILES, fly
from esper_echelon.simulation.rewards import Changes, RewardWeights, pay
from esper_echelon.simulation.roster import Roster
from esper_echelon.simulation.stability import get_up, recover
from esper_echelon.simulation.tables import DECISION, DECISIONS, DT, REPEAT, SCORE_TO_WIN
from esper_echelon.simulation.weaponry import Weaponry
from esper_echelon.simulation.weapons import fire
from esper_echelon.simulation.zone import distance_squared, weighed

ENDINGS = ("running", "zone", "elimination", "time")
RUNNING, ZONE, ELIMINATION, TIME = range(len(ENDINGS))

TICK = DT * (1 + 1e-9)
"""What timers lose in a step of the simulation: a hair more than its length, so that rounding leaves no remainder."""

_STATE = ("seeds", "clock", "packs", "side", "score", "control", "over", "ending")


@frozen(eq=False)
class Step:
    """What a decision led to.

    Attributes:
        reward: `[M, A]`, the sum of its components.
        components: The parts of the reward by `esper_echelon.simulation.rewards.COMPONENTS`, each `[M, A]`.
        happenings: Damage, deaths and assists.
        bad_actions: Numbers of the actions that were not finite and counted as 0.
    """

    reward: Floats
    components: dict[str, Floats]
    happenings: Happenings
    bad_actions: int


class Arena:
    """M matches of two teams of n mechs, places 0 to n − 1 the learner's, the others from n on.

    A step of the simulation takes DT seconds; a decision repeats it REPEAT times, in this order: timers and smoke;
    ground, stability and heat; projectiles; weapons; movement. Within each of these everybody acts on the same state
    and at once. A match that is over does not change.

    Attributes:
        roster: Who the places are.
        visibility: `full` or `partial`.
        mechs, grounds, clouds, flights: Their state.
        seeds: uint64 `[M]`; a match is a function of its seed and of what is decided in it.
        clock: int64 `[M]`, decisions taken.
        packs, side: int64 `[M]`, as they were given to `begin`.
        score: `[M, 2]`, the learner's team first.
        control: `[M]`, by how much the learner's team holds the zone, −1..1.
        over: bool `[M]`; a match that has not begun counts as over.
        ending: int64 `[M]`, position in ENDINGS.
    """

    def __init__(
        self,
        roster: Roster,
        matches: int,
        visibility: str = "full",
        weights: RewardWeights | None = None,
        largest: int = 100,
    ) -> None:
        self.roster, self.visibility = roster, visibility
        self.weights = RewardWeights() if weights is None else weights
        self.mechs = Mechs.none(roster, matches)
        self.grounds = Grounds.none(matches, largest, roster)
        self.clouds = Clouds.none(matches)
        self.flights = Flights.none()
        self.seeds = np.zeros(matches, np.uint64)
        self.clock, self.packs, self.side, self.ending = (np.zeros(matches, np.int64) for _ in range(4))
        self.score, self.control = np.zeros((matches, 2)), np.zeros(matches)
        self.over = np.ones(matches, np.bool_)
        self._bodies, self._weaponry = Bodies.of(roster), Weaponry(roster)
        self._spacing = Spacing.of(self._bodies)
        self._matches = np.arange(matches)[:, None]

    def begin(self, match: int, seed: int, size: int, packs: int, side: int) -> None:
        """Start a match.

        Args:
            match: Its number.
            seed: What its map and its chance follow from.
            size: Cells along a side of its map.
            packs: Packs that each team has.
            side: 0 puts the learner's team into the corner that the seed drew, 1 into the opposite one.
        """
        if not 1 <= packs <= self.roster.packs:
            raise ValueError(f"{packs} packs per team, but there are places for 1 to {self.roster.packs}")
        if side not in (0, 1):
            raise ValueError(f"side {side}, expected 0 or 1")
        self.grounds.draw(match, seed, size)
        corners = [side, 1 - side]
        spawn, facing = (part[match, corners].reshape(-1, 2) for part in (self.grounds.spawn, self.grounds.facing))
        self.mechs.enter(match, packs, spawn, facing)
        self.clouds.clear(match)
        self.flights.keep(self.flights.match != match)
        self.seeds[match], self.packs[match], self.side[match] = seed, packs, side
        self.clock[match] = self.ending[match] = 0
        self.score[match] = self.control[match] = 0.0
        self.over[match] = False

    def step(self, actions: Floats) -> Step:
        """Take one decision: actions `[M, A, 9]`, numbers in −1..1; those beyond are clipped, NaN and inf count as 0.

        Raises:
            ValueError: For another shape.
        """
        if actions.shape[:1] != self.over.shape:
            raise ValueError(f"actions for {actions.shape[0]} matches, expected {len(self.over)}")
        orders = Orders.read(actions, self._bodies, self._weaponry)
        running, mechs = ~self.over, self.mechs
        started = self._live()
        before = distance_squared(mechs.position, self.grounds.zone)
        fought = self._inside(before, started)
        fought &= _both(fought)
        mechs.struck[running] = 0.0
        mechs.targeted[running] = False
        chronicle = Chronicle()
        footing = Footing.of(self.grounds, self._matches, mechs.position)
        for substep in range(REPEAT):
            footing = self._simulate(orders, footing, substep, chronicle)
        after = distance_squared(mechs.position, self.grounds.zone)
        ticks = self._hold_zone(after, running)
        mechs.hunted[running] = False
        missiles = self.flights.weapon == MISSILES
        mechs.hunted[self.flights.match[missiles], self.flights.target[missiles]] = True
        mechs.hunted &= mechs.alive
        outcome = self._end(running)
        happenings = chronicle.finish()
        changes = Changes(
            nearer=(np.sqrt(before) - np.sqrt(after)) / self.grounds.size[:, None],
            inside=mechs.inside & running[:, None],
            living=mechs.alive & running[:, None],
            ticks=ticks,
            fought_inside=fought,
            outcome=outcome,
        )
        components = pay(self.weights, self.roster, self._bodies.hp, changes, happenings)
        reward = sum(components.values(), np.zeros(mechs.alive.shape))
        return Step(reward, components, happenings, orders.bad)

    def winner(self) -> NDArray[np.int64]:
        """Return 0 where the learner's team has won, 1 where the other has, −1 for draws and running matches, `[M]`.

        Whoever is left after an elimination wins; else the higher score does, and then more hp.
        """
        hp = self._by_team(np.where(self.mechs.alive, self.mechs.hp, 0.0))
        living = self._by_team(self.mechs.alive) > 0
        leads = np.sign(self.score[:, 0] - self.score[:, 1])
        leads = np.where(leads == 0, np.sign(hp[:, 0] - hp[:, 1]), leads)
        alone = living[:, 0].astype(np.float64) - living[:, 1]
        leads = np.where((self.ending == ELIMINATION) & (alone != 0), alone, leads)
        return np.where(self.over & (leads != 0), (leads < 0).astype(np.int64), -1)

    @property
    def bytes(self) -> int:
        """Memory that one match takes, its projectiles aside, which take 88 bytes each."""
        own = (self.seeds, self.clock, self.packs, self.side, self.score, self.control, self.over, self.ending)
        clouds = (self.clouds.x, self.clouds.y, self.clouds.left)
        arrays = [getattr(self.mechs, name) for name in NAMES]
        total = sum(array.nbytes for array in (*own, *clouds, *arrays))
        return total // max(1, len(self.over)) + self.grounds.bytes

    def state(self) -> dict[str, Any]:
        """Return all that the future depends on but the maps, which are drawn again; JSON can hold it."""
        return {
            "size": self.grounds.size.tolist(),
            "mechs": self.mechs.state(),
            "clouds": self.clouds.state(),
            "flights": self.flights.state(),
            **{name: getattr(self, name).tolist() for name in _STATE},
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on where `state()` was taken, exactly; for an arena that was made alike."""
        for name in _STATE:
            now = getattr(self, name)
            now[...] = np.array(state[name], now.dtype)
        for match, size in enumerate(state["size"]):
            if self._begun(match):
                self.grounds.draw(match, int(self.seeds[match]), size)
        for name in ("mechs", "clouds", "flights"):
            getattr(self, name).load_state(state[name])

    def _begun(self, match: int) -> bool:
        return bool(self.packs[match] > 0)

    def _live(self) -> Flags:
        return np.asarray(self.mechs.alive & ~self.over[:, None])

    def _by_team(self, of: Any) -> Any:
        return of.reshape(len(self.over), 2, -1).sum(axis=-1)

    def _inside(self, squared: Floats, live: Flags) -> Flags:
        return np.asarray(live & (squared <= (self.grounds.radius * self.grounds.radius)[:, None]))

    def _simulate(self, orders: Orders, footing: Footing, substep: int, chronicle: Chronicle) -> Footing:
        """Pass one step of the simulation."""
        mechs, bodies = self.mechs, self._bodies
        self._pass_time()
        moment = Moment(
            mechs,
            bodies,
            self.roster,
            self.grounds,
            self.clouds,
            Pairs.of(bodies, self._spacing, mechs.position),
            self._live(),
            self.seeds,
            self.clock,
            self.side,
            substep,
            chronicle,
        )
        floor = moment.live & (mechs.altitude <= 0)
        lava = floor & (footing.kind == LAVA)
        recover(mechs, moment.live)
        exchange(mechs, bodies, orders, moment.live, lava, floor & (footing.kind == WATER))
        burn(moment, lava, LAVA_DAMAGE * DT)
        moment = evolve(moment, live=self._live())
        fly(moment, self.flights)
        moment = evolve(moment, live=self._live())
        fire(moment, self.flights, orders, self._weaponry)
        live = self._live()
        able = live & (mechs.heat <= bodies.capacity) & (mechs.fallen <= 0)
        turn(mechs, orders, able)
        return walk(mechs, bodies, orders, self.grounds, self._matches, footing, moment.pairs, live, able)

    def _pass_time(self) -> None:
        mechs = self.mechs
        tick = np.where(self.over, 0.0, TICK)[:, None]
        lay = mechs.fallen > 0
        for timer in (mechs.fallen, mechs.suppressed, mechs.hurried, mechs.ams):
            np.maximum(timer - tick, 0.0, out=timer)
        np.maximum(mechs.cooldown - tick[..., None], 0.0, out=mechs.cooldown)
        np.maximum(mechs.paint - tick[..., None], 0.0, out=mechs.paint)
        get_up(mechs, lay)
        self.clouds.pass_time(tick)

    def _hold_zone(self, squared: Floats, running: Flags) -> Floats:
        """Score a decision, and return each team's share of a tick, `[M, 2]`."""
        inside = self._inside(squared, self._live())
        np.copyto(self.mechs.inside, inside, where=running[:, None])
        margin, ticks = weighed(inside, self._bodies.tonnage)
        ticks = np.where(running[:, None], ticks, 0.0)
        np.copyto(self.control, margin, where=running)
        self.score += ticks * DECISION
        return ticks

    def _end(self, running: Flags) -> Floats:
        """Advance the clock, end what has come to an end, and return who won and lost just now, `[M, A]`."""
        self.clock += running
        living = self._by_team(self.mechs.alive) > 0
        held = (self.score >= SCORE_TO_WIN - 1e-9).any(axis=-1)
        late = self.clock >= DECISIONS
        ending = np.select([held, ~living.all(axis=-1), late], [ZONE, ELIMINATION, TIME], RUNNING)
        np.copyto(self.ending, ending, where=running)
        self.over |= running & (ending != RUNNING)
        self.flights.keep(~self.over[self.flights.match])
        winner = np.where(running, self.winner(), -1)[:, None]
        won = np.where(winner == self.roster.team, 1.0, -1.0)
        return np.where((winner >= 0) & self.mechs.present, won, 0.0)


def _both(inside: Flags) -> Flags:
    """Return whether both teams are in the zone, `[M, 1]`."""
    teams = inside.reshape(len(inside), 2, -1).any(axis=-1)
    return np.asarray(teams.all(axis=-1, keepdims=True))
