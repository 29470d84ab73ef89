"""The file of a league: `league.sqlite`. Every change is one transaction, so that a process may die at any point.

Processes write one after another: who finds the file taken says so, waits, and gives up with a clear message.
"""

from __future__ import annotations

import datetime
import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from esper_core.contracts.errors import CheckpointMismatch, DamagedFile, EsperError, UserError
from esper_league.entry import LeagueEntry
from esper_league.glicko import Glicko2Rating
from esper_league.match import Happening, Match, Past
from esper_league.schema import MIGRATIONS

LEAGUE_FILE = "league.sqlite"

PATIENCE_SECONDS = 60.0
"""How long a process waits for another that writes."""

_FIRST_SECONDS = 0.5
"""How long it waits before it says so."""

_ENTRY = "id, name, kind, rating, rd, vol, games, created_at, source, meta, retired_at"


class Store:
    """An open `league.sqlite`; `close` it, or use it as a context manager.

    Attributes:
        path: The file.
        on_wait: Called with a sentence when another process is writing and this one begins to wait.
        patience: Seconds that it waits at most.
    """

    def __init__(self, path: Path, *, on_wait: Callable[[str], object] | None = None) -> None:
        self.path, self.on_wait, self.patience = path, on_wait, PATIENCE_SECONDS
        with self._reporting():
            # Transactions are begun by us alone; waiting is ours too, so that it can be said.
            self._connection = sqlite3.connect(path, timeout=0.0, isolation_level=None)
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def _prepare(self) -> None:
        with self._reporting():
            self._run("PRAGMA foreign_keys = ON")
            self._run("PRAGMA synchronous = FULL")
            (mode,) = self._run("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise UserError(
                f"{self.path} cannot be written ahead: its journal is '{mode}'.",
                hint="Put the league on a disk of this machine; a network's file system may not be able to.",
            )
        self.migrate(MIGRATIONS)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Transactions ---------------------------------------------------------------------------------------------------

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Make all changes within one transaction, which holds wholly or, where something is raised, not at all.

        Raises:
            UserError: another process writes for longer than `patience`.
            EsperError: the disk is full, or the file cannot be written; it is as it was.
            DamagedFile: it is no database, or damaged.
        """
        with self._reporting():
            self._run("BEGIN IMMEDIATE")
            try:
                yield
                self._run("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # what went wrong first is what matters
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Read within of one and the same state, whatever other processes write meanwhile."""
        if self._connection.in_transaction:
            yield
            return
        with self._reporting():
            self._run("BEGIN")
            try:
                yield
            finally:
                with suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")

    def migrate(self, migrations: Sequence[Sequence[str]]) -> None:
        """Bring the file to the newest version, one transaction for each; raises CheckpointMismatch for a newer one."""
        while (version := self._version()) < len(migrations):
            with self.writing():
                if self._version() == version:  # or another process did it while this one waited
                    for statement in migrations[version]:
                        self._run(statement)
                    self._run(f"PRAGMA user_version = {version + 1}")
        if version > len(migrations):
            raise CheckpointMismatch(
                f"{self.path} has version {version}; this esper-league reads up to {len(migrations)}.",
                hint="Use the esper-league that wrote it, or a newer one: pip install --upgrade esper-league",
            )

    def _version(self) -> int:
        with self._reporting():
            (version,) = self._run("PRAGMA user_version").fetchone()
        return int(version)

    def _run(self, statement: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Execute a statement; where the file is taken, wait for it, and say so once."""
        begun, said, pause = time.monotonic(), False, 0.005
        while True:
            try:
                return self._connection.execute(statement, values)
            except sqlite3.OperationalError as error:
                waited = time.monotonic() - begun
                if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                    raise
                if waited > self.patience:
                    raise UserError(
                        f"Another process has been writing to {self.path} for {self.patience:.0f} seconds.",
                        hint="Wait until it has ended, or stop it: what it has finished is kept.",
                    ) from error
                if waited > min(_FIRST_SECONDS, self.patience / 2) and not said and self.on_wait is not None:
                    self.on_wait(f"Another process is writing to {self.path}; waiting for it.")
                    said = True
            time.sleep(pause)
            pause = min(2.0 * pause, 0.1)

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        """Report what SQLite refuses as an error that names the file."""
        try:
            yield
        except sqlite3.IntegrityError:
            raise  # a rule of the tables was broken: a fault of ours
        except sqlite3.DatabaseError as error:
            name = getattr(error, "sqlite_errorname", "")
            if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
                hint = "Restore it from a copy, with league.sqlite-wal beside it if there is one."
                raise DamagedFile(f"{self.path} is damaged: {error}.", hint=hint) from error
            if name.startswith(("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
                hint = "Make it writable, its folder too: even reading writes beside it. A copy of the league will do."
                if name.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
                    hint = "Make room, and start again: what was finished is kept."
                raise EsperError(f"{self.path} cannot be written: {error}.", hint=hint) from error
            raise

    # Settings -------------------------------------------------------------------------------------------------------

    def settings(self) -> dict[str, Any]:
        """Return what is kept about the league itself."""
        with self._reporting():
            return {key: json.loads(value) for key, value in self._run("SELECT key, value FROM meta")}

    def set(self, values: Mapping[str, Any]) -> None:
        """Keep settings."""
        for key, value in values.items():
            self._run("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, _json(value)))

    # Entries --------------------------------------------------------------------------------------------------------

    def entries(self) -> list[LeagueEntry]:
        """Return all entries, oldest first."""
        with self._reporting():
            return [_entry(row) for row in self._run(f"SELECT {_ENTRY} FROM entries ORDER BY created_at, id")]

    def insert(self, entry: LeagueEntry) -> None:
        """Add an entry."""
        rating = entry.rating
        self._run(
            f"INSERT INTO entries ({_ENTRY}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(entry.id, entry.name, entry.kind, rating.rating, rating.rd, rating.vol, entry.games),
                *(entry.created_at, entry.source, _json(dict(entry.meta)), entry.retired_at),
            ),
        )

    def set_kind(self, entry: str, kind: str, retired_at: str | None) -> None:
        """Change what an entry is."""
        self._run("UPDATE entries SET kind = ?, retired_at = ? WHERE id = ?", (kind, retired_at, entry))

    def set_rating(self, entry: str, rating: Glicko2Rating) -> None:
        """Change what an entry is rated."""
        values = (rating.rating, rating.rd, rating.vol, entry)
        self._run("UPDATE entries SET rating = ?, rd = ?, vol = ? WHERE id = ?", values)

    # Matches --------------------------------------------------------------------------------------------------------

    def matches(self, *, unrated: bool = False) -> list[Match]:
        """Return the matches, oldest first, or those alone that no period has counted."""
        where = " WHERE period IS NULL" if unrated else ""
        columns = "first, second, instance, score, outcome, period, played_at"
        with self._reporting():
            rows = self._run(f"SELECT {columns} FROM matches{where} ORDER BY id").fetchall()
        return [Match(a, b, instance, score, json.loads(out), p, at) for a, b, instance, score, out, p, at in rows]

    def insert_match(self, match: Match) -> bool:
        """Add a match and count it for both; return False, and change nothing, where it is there already."""
        added = self._run(
            "INSERT INTO matches (first, second, instance, score, outcome, played_at) VALUES (?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (first, second, instance) DO NOTHING",
            (match.first, match.second, match.instance, match.score, _json(dict(match.outcome)), match.played_at),
        )
        if added.rowcount != 1:
            return False
        self._run("UPDATE entries SET games = games + 1 WHERE id IN (?, ?)", (match.first, match.second))
        return True

    # Periods --------------------------------------------------------------------------------------------------------

    def close_period(self, closed_at: str, ratings: Iterable[tuple[LeagueEntry, Glicko2Rating]]) -> int:
        """Count all unrated matches in a new period, set everybody's rating after it, and return its number."""
        (number,) = self._run("SELECT COALESCE(MAX(number), 0) + 1 FROM periods").fetchone()
        self._run("INSERT INTO periods VALUES (?, ?)", (number, closed_at))
        self._run("UPDATE matches SET period = ? WHERE period IS NULL", (number,))
        for entry, after in ratings:
            self.set_rating(entry.id, after)
            values = (number, entry.id, after.rating, after.rd, after.vol, entry.kind)
            self._run("INSERT INTO ratings VALUES (?, ?, ?, ?, ?, ?)", values)
        return int(number)

    def periods_missed(self, entry: str) -> int:
        """Return how many periods were closed since the last in which an entry was rated."""
        query = (
            "SELECT COUNT(*) FROM periods WHERE number > COALESCE((SELECT MAX(period) FROM ratings WHERE entry = ?), 0)"
        )
        (missed,) = self._run(query, (entry,)).fetchone()
        return int(missed)

    def history(self) -> list[Past]:
        """Return everybody's rating after every period, in order."""
        query = (
            "SELECT number, closed_at, entry, rating, rd, vol, kind FROM ratings JOIN periods ON number = period "
            "ORDER BY number, entry"
        )
        with self._reporting():
            rows = self._run(query).fetchall()
        return [Past(number, at, entry, Glicko2Rating(*rated), kind) for number, at, entry, *rated, kind in rows]

    # Happenings -----------------------------------------------------------------------------------------------------

    def note(self, happening: Happening) -> None:
        """Add what became of an entry."""
        values = (happening.at, happening.entry, happening.what, _json(dict(happening.why)))
        self._run("INSERT INTO happenings (at, entry, what, why) VALUES (?, ?, ?, ?)", values)

    def happenings(self) -> list[Happening]:
        """Return what became of entries, in order."""
        with self._reporting():
            rows = self._run("SELECT at, entry, what, why FROM happenings ORDER BY id").fetchall()
        return [Happening(at, entry, what, json.loads(why)) for at, entry, what, why in rows]


def now() -> str:
    """Return the time, ISO 8601 in UTC, to the microsecond, so that ages can be told apart."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")


def _entry(row: Sequence[Any]) -> LeagueEntry:
    entry, name, kind, rating, rd, vol, games, created_at, source, meta, retired_at = row
    found = Glicko2Rating(rating, rd, vol)
    return LeagueEntry(entry, name, kind, found, games, created_at, source, json.loads(meta), retired_at)


def _json(value: Any) -> str:
    return json.dumps(value, allow_nan=False)
