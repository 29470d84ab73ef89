"""Playing the matches of a league, in this process or in several; each is on record as soon as it is over."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from attrs import frozen

from esper_core.composition.plan import Plan
from esper_core.contracts.errors import UserError
from esper_core.registry.index import Index
from esper_core.registry.sources import blamed
from esper_core.runs.lock import LOCK_FILE, locked_by
from esper_core.system.crew import Crew
from esper_core.system.processes import Answer, Purpose
from esper_league.entry import LeagueEntry
from esper_league.league import League
from esper_league.loading import load_driver
from esper_league.match import Match
from esper_league.schedule import Fixture, batches, enough, fixtures
from esper_league.stage import Broken, Result, Stage
from esper_league.weights import WEIGHTS

SIDE_BY_SIDE = 16
"""Matches that a process plays at once."""

PURPOSE = Purpose(
    name="esper-league",
    doing="playing matches of a league",
    killed="It may have been killed for lack of memory: use fewer --workers. Matches that were over are kept.",
    died="To see where, play in this process: --workers 0. Matches that were over are kept.",
    blame=blamed,
)

OnProgress = Callable[[int, int], object]
Found = Generator[Result | Broken, None, None]


@frozen
class Played:
    """Matches that were played and put on record, and why entries could not play, by name."""

    matches: int
    broken: Mapping[str, str]


def play(
    league: League,
    index: Index,
    *,
    games: int,
    workers: int = 0,
    on_progress: OnProgress = lambda done, total: None,
    warn: Callable[[str], object] = lambda message: None,
) -> Played:
    """Play matches between the entries that are not retired, `games` of them or one more: both sides of each seed.

    Pairs that have met least play first. Whatever is over is kept, whenever this stops; who cannot play is left out.

    Args:
        league: The league.
        index: What is installed.
        games: Matches to play.
        workers: Processes that play; 0 plays in this one.
        on_progress: Called with the matches that are over and those that were to be played.
        warn: Called with a sentence for every entry that cannot play.

    Raises:
        UserError: fewer than two can play, or another process plays here, which would play the same matches.
        LeagueMismatch: what is installed plays another game than the league.
        PluginError: something failed while playing.
    """
    with locked_by(league.path / LOCK_FILE, f"matches of the league {league.path}"):
        return _play(league, index, games, workers, on_progress, warn)


def _play(
    league: League,
    index: Index,
    games: int,
    workers: int,
    on_progress: OnProgress,
    warn: Callable[[str], object],
) -> Played:
    league.check_installed(index)
    entries = {entry.id: entry for entry in league.entries() if entry.plays}
    broken: dict[str, str] = {}

    def leave_out(entry: str, why: str) -> None:
        if entry not in broken:
            broken[entry] = why
            warn(f"'{entries[entry].name}' cannot play: {why}")

    for entry in entries.values():
        if why := league.broken(entry, index):
            leave_out(entry.id, why)
    able = [entry for entry in entries if entry not in broken]
    if len(able) < 2:
        raise UserError(
            f"{league.path} has {'nobody' if not able else 'one entry alone'} that can play.",
            hint=f"Add others: esper league add {league.path} RUN, or --rule NAME.",
        )
    record = [(match.first, match.second, match.instance) for match in league.matches()]
    begin = partial(_stage, league.plan, league.path, {entry: entries[entry] for entry in able}, index)
    with closing(begin()) as stage:
        instances = stage.held_out(enough(record, games))
        wanted = fixtures(able, record, instances, games)
        left, waiting = deque(batches(wanted, _size(len(wanted), workers))), set(wanted)
        if workers:
            stage.close()  # what it holds is of no use to the processes, which inherit it
        results = _shared(begin, left, workers, broken) if workers else _alone(stage, left, broken)
        done, total = 0, len(wanted)
        on_progress(done, total)
        with closing(results):
            for result in results:
                if isinstance(result, Broken):
                    leave_out(result.entry, result.why)
                    waiting = {fixture for fixture in waiting if not _involves(fixture, broken)}
                    total = done + len(waiting)
                    continue
                fixture = result.fixture
                waiting.discard(fixture)
                kept = Match(fixture.first, fixture.second, fixture.instance, result.score, dict(result.outcome))
                done += league.record(kept)
                on_progress(done, total)
    return Played(done, {entries[entry].name: why for entry, why in broken.items()})


def _size(matches: int, workers: int) -> int:
    """Return how many matches are played side by side, so that all processes have some."""
    return max(1, min(SIDE_BY_SIDE, -(-matches // max(1, workers))))


def _involves(fixture: Fixture, broken: Mapping[str, str]) -> bool:
    return fixture.first in broken or fixture.second in broken


def _next(left: deque[list[Fixture]], broken: Mapping[str, str]) -> list[Fixture]:
    """Return the next batch without those who cannot play; empty when there is none."""
    while left:
        if batch := [fixture for fixture in left.popleft() if not _involves(fixture, broken)]:
            return batch
    return []


def _alone(stage: Stage, left: deque[list[Fixture]], broken: Mapping[str, str]) -> Found:
    while batch := _next(left, broken):
        for found in stage.play(batch):
            for one in found:
                if isinstance(one, Broken):
                    left.appendleft(batch)
                yield one


def _shared(begin: Callable[[], Stage], left: deque[list[Fixture]], workers: int, broken: Mapping[str, str]) -> Found:
    """Yield what processes bring, each of which plays one batch after another."""
    with Crew(PURPOSE, [partial(_serve, begin)] * min(workers, len(left))) as crew:
        # Nothing found is the end of a batch; an empty request asks for more of the same.
        for batch, found in crew.work(lambda: _next(left, broken) or None, lambda found: [] if found else None):
            for one in found:
                if isinstance(one, Broken):
                    left.appendleft(batch)
                yield one


def _stage(plan: Plan, path: Path, entries: Mapping[str, LeagueEntry], index: Index) -> Stage:
    seats = _Seats(plan, path)
    return Stage(plan, index, lambda entry: load_driver(seats, entries[entry], index))


@frozen
class _Seats:
    """What loading asks of a league: no process but the one that opened its file may use that."""

    plan: Plan
    path: Path

    def weights(self, entry: LeagueEntry) -> Path:
        """Return the folder of an entry's checkpoint."""
        return self.path / WEIGHTS / entry.id


def _serve(begin: Callable[[], Stage]) -> Answer:
    return _Share(begin())


class _Share:
    """Answers the requests to a process: a batch begins to be played, and an empty one asks for what came since."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._playing: Iterator[Sequence[Result | Broken]] = iter(())

    def __call__(self, batch: list[Fixture]) -> Sequence[Result | Broken]:
        if batch:
            self._playing = self._stage.play(batch)
        return next(self._playing, ())
