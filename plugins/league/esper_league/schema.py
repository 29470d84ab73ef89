"""The tables of `league.sqlite`, as the migrations that make them."""

from __future__ import annotations

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
        """CREATE TABLE entries (
            id TEXT PRIMARY KEY NOT NULL,
            name TEXT NOT NULL UNIQUE,
            kind TEXT NOT NULL CHECK (kind IN ('candidate', 'commander', 'retired', 'rule')),
            rating REAL NOT NULL,
            rd REAL NOT NULL,
            vol REAL NOT NULL,
            games INTEGER NOT NULL DEFAULT 0 CHECK (games >= 0),
            created_at TEXT NOT NULL,
            retired_at TEXT,
            source TEXT NOT NULL,
            meta TEXT NOT NULL,
            CHECK ((kind = 'retired') = (retired_at IS NOT NULL))
        )""",
        "CREATE TABLE periods (number INTEGER PRIMARY KEY, closed_at TEXT NOT NULL)",
        """CREATE TABLE matches (
            id INTEGER PRIMARY KEY,
            first TEXT NOT NULL REFERENCES entries (id),
            second TEXT NOT NULL REFERENCES entries (id),
            instance INTEGER NOT NULL CHECK (instance >= 0),
            score REAL NOT NULL CHECK (score BETWEEN 0 AND 1),
            outcome TEXT NOT NULL,
            period INTEGER REFERENCES periods (number),
            played_at TEXT NOT NULL,
            UNIQUE (first, second, instance),
            CHECK (first <> second)
        )""",
        "CREATE INDEX unrated ON matches (period) WHERE period IS NULL",
        """CREATE TABLE ratings (
            period INTEGER NOT NULL REFERENCES periods (number),
            entry TEXT NOT NULL REFERENCES entries (id),
            rating REAL NOT NULL,
            rd REAL NOT NULL,
            vol REAL NOT NULL,
            kind TEXT NOT NULL,
            PRIMARY KEY (period, entry)
        )""",
        """CREATE TABLE happenings (
            id INTEGER PRIMARY KEY,
            at TEXT NOT NULL,
            entry TEXT NOT NULL REFERENCES entries (id),
            what TEXT NOT NULL CHECK (what IN ('added', 'promoted', 'retired', 'reinstated')),
            why TEXT NOT NULL
        )""",
    ),
)
"""Each brings a file one version further: `user_version` is how many were applied. None is ever changed, only added."""

VERSION = len(MIGRATIONS)
