"""The file of a league bears whatever happens to the processes that write it."""

from __future__ import annotations

import itertools
import random
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from esper_core.contracts.errors import CheckpointMismatch, DamagedFile, EsperError, UserError
from esper_league import Glicko2Rating, League, LeagueEntry, Match, rate
from esper_league.match import Happening
from esper_league.schema import MIGRATIONS, VERSION
from esper_league.store import Store
from plugins.league.tests.conftest import commander, enter

_FORK = get_context("fork")

POINTS = 20
"""Points at which a process is killed, drawn at random."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "league.sqlite") as opened:
        yield opened


def live(path: Path, point: int, steps: int, come: Connection) -> None:
    """Play, rate, promote, retire and reinstate without end; say when the database has done so many steps."""
    draw = random.Random(point)
    league = League.open(path)
    names = [entry.id for entry in league.entries()]
    done = itertools.count()
    # Killed at once: within a statement, while its pages are written, or soon after.
    league._store._connection.set_progress_handler(lambda: come.send(True) if next(done) == steps else None, 20)
    while True:
        for _ in range(draw.randrange(1, 6)):
            first, second = draw.sample(names, 2)
            league.record(Match(first, second, draw.randrange(10**9), draw.choice((0.0, 0.5, 1.0))))
        league.rate_period()
        league.promote(4)
        for entry in league.retire(3, 2):
            league.reinstate(entry.id)


def check(path: Path) -> int:
    """Check that a file is whole and that everything in it agrees; return its number of matches."""
    with sqlite3.connect(path / "league.sqlite") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()
    with League.open(path) as league:
        matches, history, entries = league.matches(), league.history(), league.entries()
        played = Counter(side for match in matches for side in (match.first, match.second))
        assert {entry.id: entry.games for entry in entries} == {entry.id: played[entry.id] for entry in entries}
        closed = max((past.period for past in history), default=0)
        assert {match.period for match in matches} - {None} == set(range(1, closed + 1))
        # Every period follows from the one before it and from its matches, each of them once.
        last = {entry.id: Glicko2Rating() for entry in entries}
        for number in range(1, closed + 1):
            met: dict[str, list[tuple[Glicko2Rating, float]]] = {entry: [] for entry in last}
            for match in (match for match in matches if match.period == number):
                met[match.first].append((last[match.second], match.score))
                met[match.second].append((last[match.first], 1.0 - match.score))
            after = {past.entry: past.rating for past in history if past.period == number}
            assert after == {entry: rate(last[entry], met[entry]) for entry in after}
            assert all(entry in after for entry, played in met.items() if played)
            last |= after
        assert {entry.id: entry.rating for entry in entries} == last
        said = {event.entry: event.what for event in league.happenings()}
        becomes = {"promoted": "commander", "retired": "retired", "reinstated": "commander"}
        assert all(entry.kind == becomes[said[entry.id]] for entry in entries if entry.id in said)
    return len(matches)


def test_killed_at_random_points_it_is_whole_and_no_match_counts_twice_or_half(arena: League) -> None:
    enter(arena, *(commander(f"e{i}", rd=350, games=0, kind="candidate") for i in range(6)))
    arena.close()
    draw, counts = random.Random(3), [0]
    for point in range(POINTS):
        here, there = _FORK.Pipe()
        process = _FORK.Process(target=live, args=(arena.path, point, draw.randrange(500), there))
        process.start()
        assert here.recv()
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        counts.append(check(arena.path))
    assert counts == sorted(counts) and counts[-1] > 2 * POINTS, "it went on from where it was"
    assert len({event.what for event in League.open(arena.path).happenings()}) == 3


def test_two_processes_wait_for_each_other_and_say_so(store: Store) -> None:
    said: list[str] = []
    with Store(store.path, on_wait=said.append) as other:
        other.patience = 0.2
        with store.writing(), pytest.raises(UserError, match=r"writing to .* for 0 seconds"), other.writing():
            pass
        assert said == [f"Another process is writing to {store.path}; waiting for it."]
        assert other.entries() == [], "reading waits for nobody"

    def hold() -> None:
        with Store(store.path) as third, third.writing():
            third.insert(LeagueEntry("a", "a"))
            held.set()
            time.sleep(0.3)

    held = threading.Event()
    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    with store.writing():
        store.insert(LeagueEntry("b", "b"))
    thread.join()
    assert [entry.id for entry in store.entries()] == ["a", "b"]


def test_what_fails_within_a_change_undoes_it(store: Store) -> None:
    def fail() -> None:
        with store.writing():
            store.insert(LeagueEntry("a", "a"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert store.entries() == []
    with pytest.raises(sqlite3.IntegrityError), store.writing():
        store.note(Happening("2026", "nobody", "added", {}))
    with pytest.raises(sqlite3.IntegrityError), store.writing():
        store.insert(LeagueEntry("a", "a", "retired"))  # without saying when


def test_a_full_disk_leaves_what_was_there(store: Store) -> None:
    with store.writing():
        store.insert(LeagueEntry("a", "a"))
    (pages,) = store._run("PRAGMA page_count").fetchone()
    store._run(f"PRAGMA max_page_count = {pages}")
    happening = Happening("2026", "a", "added", {"source": "x" * 100_000})
    with pytest.raises(EsperError, match=r"cannot be written: database or disk is full") as caught, store.writing():
        store.note(happening)
    assert "Make room" in caught.value.hint
    store._run("PRAGMA query_only = ON")
    with pytest.raises(EsperError, match="readonly database") as caught, store.writing():
        store.insert(LeagueEntry("b", "b"))
    assert "Make it writable" in caught.value.hint and "room" not in caught.value.hint
    store._run("PRAGMA query_only = OFF")
    store._run("PRAGMA max_page_count = 1000000")
    assert [entry.id for entry in store.entries()] == ["a"]
    with store.writing():
        store.insert(LeagueEntry("b", "b"))


def test_files_are_migrated_one_version_after_the_other(store: Store) -> None:
    with store.writing():
        store.insert(LeagueEntry("a", "a"))
    more = (*MIGRATIONS, ("ALTER TABLE entries ADD COLUMN motto TEXT",), ("CREATE TABLE cups (name TEXT)",))
    broken = (*more, ("CREATE TABLE trophies (name TEXT)", "CREATE TABLE nonsense ("))
    with pytest.raises(sqlite3.OperationalError):
        store.migrate(broken)
    assert store._version() == VERSION + 2
    tables = {name for (name,) in store._run("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert "cups" in tables and "trophies" not in tables, "a migration is applied whole or not at all"
    assert [entry.id for entry in store.entries()] == ["a"]
    with pytest.raises(CheckpointMismatch, match=f"has version {VERSION + 2}; this esper-league reads up to {VERSION}"):
        Store(store.path)


def test_what_is_no_database_is_damaged(tmp_path: Path, arena: League) -> None:
    (tmp_path / "league.sqlite").write_text("once upon a time there was a league")
    with pytest.raises(DamagedFile, match=r"league.sqlite is damaged: file is not a database"):
        League.open(tmp_path)
    with arena._store.writing():
        arena._store._run("DELETE FROM meta WHERE key = 'plan'")
    with pytest.raises(DamagedFile, match="does not say what its plan is"):
        League.open(arena.path)
