"""A league in a directory: who plays in it, what was played, and what became of everybody. Torch is not imported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from attrs import evolve

from esper_core.composition.lookup import find_planned
from esper_core.composition.plan import Plan, describe_plan
from esper_core.contracts.errors import DamagedFile, EsperError, UserError, did_you_mean
from esper_core.system.files import writing
from esper_core.system.shape import shaped
from esper_league import adding, fit, retirement
from esper_league.entry import COMMANDER, RETIRED, LeagueEntry, check_name
from esper_league.game import ENVIRONMENT, Game, check_sides, game_of
from esper_league.glicko import idle, rate_all
from esper_league.match import Happening, Match, Past, Period
from esper_league.matrix import Matrix, matrix_of, triples
from esper_league.store import LEAGUE_FILE, Store, now
from esper_league.weights import WEIGHTS

if TYPE_CHECKING:
    from esper_core.registry.index import Index
    from esper_core.runs.directory import RunDirectory
    from esper_league.adding import Newcomer

EMPTY = "Add somebody: esper league add {0} RUN, or esper league add {0} --rule NAME"

_SHOWN = 8
"""Entries that an error names at most."""


class Added(NamedTuple):
    """An entry that was asked for; `is_new` is False where it was there already, unchanged."""

    entry: LeagueEntry
    is_new: bool


class League:
    """An open league; `close` it, or use it as a context manager. `create` and `open` make one.

    Several processes may have it open. Every change is one transaction.

    Attributes:
        path: Its directory.
        plan: A plan whose environment, masks and slots are those that everybody plays in; its other components are
            those that belong to the environment, and nobody's in particular.
        game: What of that environment means something, as recorded when the league was created.
    """

    def __init__(self, path: Path, store: Store, plan: Plan, game: Game) -> None:
        self.path, self.plan, self.game = path, plan, game
        self._store = store

    @classmethod
    def create(cls, path: str | Path, plan: Plan, index: Index) -> League:
        """Begin a league that plays in the environment of a plan.

        Raises:
            IncompatiblePlan: the environment does not have two sides.
            UserError: there is a league already.
            EsperError: it cannot be written.
        """
        path = Path(path)
        check_sides(find_planned(index, plan.component(ENVIRONMENT)), describe_plan(plan, index), index)
        game = game_of(plan, index)
        if path.exists() and not path.is_dir():
            raise UserError(f"{path} is a file, and a league is a directory.", hint="Choose another name.")
        with writing(path, "Choose another directory, or make it writable."):
            path.mkdir(parents=True, exist_ok=True)
        store = Store(path / LEAGUE_FILE)
        try:
            with store.writing():
                if store.settings():
                    message = f"{path} is a league already."
                    raise UserError(message, hint=f"See: esper league table {path}. Choose another directory.")
                store.set({"plan": plan.to_json(), "game": game.to_json(), "created": now()})
        except BaseException:
            store.close()
            raise
        return cls(path, store, plan, game)

    @classmethod
    def open(cls, path: str | Path, *, on_wait: Callable[[str], object] | None = None) -> League:
        """Open a league.

        Args:
            path: Its directory.
            on_wait: Called with a sentence when another process is writing and this one begins to wait.

        Raises:
            UserError: there is none.
            CheckpointMismatch: another version wrote it, or it is damaged (DamagedFile).
        """
        path, file = Path(path), Path(path) / LEAGUE_FILE
        hint = f"Begin one: esper league create {path} --environment NAME"
        if path.is_file():
            hint = f"Name its directory{f': {path.parent}' if path.name == LEAGUE_FILE else ''}."
            raise UserError(f"{path} is a file, and a league is a directory.", hint=hint)
        if not file.is_file():
            raise UserError(f"{path} is not a league: it has no {LEAGUE_FILE}.", hint=hint)
        store = Store(file, on_wait=on_wait)
        try:
            settings = store.settings()
            if not settings:
                raise UserError(f"{path} was never finished when it was created.", hint=hint)
            plan = Plan.from_json(settings["plan"])
            return cls(path, store, plan, shaped(Game, settings["game"], str(file)))
        except KeyError as error:
            store.close()
            raise DamagedFile(f"{file} is damaged: it does not say what its {error.args[0]} is.") from error
        except BaseException:
            store.close()
            raise

    def close(self) -> None:
        """Let go of the league."""
        self._store.close()

    def __enter__(self) -> League:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def check_installed(self, index: Index) -> None:
        """Check that what is installed plays what the league was created for.

        Raises:
            LeagueMismatch: the environment means something else now; the message holds the table of differences.
            UserError: it is not installed, or its options are not allowed any more.
        """
        fit.check_installed(self.game, self.plan, index)

    def check_plan(self, plan: Plan, index: Index) -> None:
        """Check that a learner with a plan can play here: its environment is the league's in all that matters.

        Raises:
            LeagueMismatch: it is not; the message holds the table of differences.
        """
        self.check_installed(index)
        fit.check_plan(self.plan, plan, index)

    # Entries --------------------------------------------------------------------------------------------------------

    def add_run(
        self, run: RunDirectory, index: Index, *, at: str = "last", name: str | None = None, elsewhere: bool = False
    ) -> Added:
        """Add the policy of a run's checkpoint as a candidate; its weights are copied into the league.

        Args:
            run: The run.
            index: What is installed.
            at: 'last', 'best', or the number of an update.
            name: What it is called; the run's short name and the update without.
            elsewhere: Take it although it was trained with other options of the environment.

        Raises:
            LeagueMismatch: it was trained for another game; the message holds the table of differences.
            CheckpointMismatch: the checkpoint is damaged, or does not fit what is installed.
            UserError: there is no such checkpoint, or the name is taken or cannot be.
        """
        self.check_installed(index)
        return self._add(adding.from_run(self.plan, run, index, at=at, elsewhere=elsewhere), name)

    def add_rule(
        self, rule: str, index: Index, pins: Mapping[str, str] | None = None, *, name: str | None = None
    ) -> Added:
        """Add a rule, which is rated as everybody and neither promoted nor retired.

        Args:
            rule: Name of a rule that can play the league's environment.
            index: What is installed.
            pins: `kind/name` → distribution, from registry.toml.
            name: What it is called; the rule's name without.

        Raises:
            UserError: there is no such rule, it cannot play here, or the name is taken or cannot be.
        """
        self.check_installed(index)
        return self._add(adding.from_rule(self.plan, rule, index, pins), name)

    def _add(self, newcomer: Newcomer, name: str | None) -> Added:
        wanted = newcomer.name if name is None else check_name(name)
        with self._store.writing():
            known = self._store.entries()
            for entry in known:
                if entry.id == newcomer.id:
                    newcomer.write(self.path)  # repairs weights that were damaged
                    return Added(entry, False)
            taken = {entry.name: entry for entry in known}
            if wanted in taken and name is None:
                wanted = f"{wanted}-{newcomer.id[:4]}"
            if wanted in taken:
                other = f"The name '{wanted}' is that of {taken[wanted].source} (id {taken[wanted].id})."
                raise UserError(other, hint="Choose another with --name.")
            newcomer.write(self.path)
            at = now()
            entry = LeagueEntry(
                newcomer.id, wanted, newcomer.kind, created_at=at, source=newcomer.source, meta=newcomer.meta
            )
            self._store.insert(entry)
            self._store.note(Happening(at, entry.id, "added", {"source": entry.source}))
        return Added(entry, True)

    def entries(self) -> list[LeagueEntry]:
        """Return all entries, oldest first, those that are retired too."""
        return self._store.entries()

    def entry(self, text: str) -> LeagueEntry:
        """Return the entry with this id or name, or the only one of which one begins with it; raises UserError."""
        entries = self.entries()
        found = [e for e in entries if text in (e.id, e.name)]
        found = found or [e for e in entries if text and (e.name.startswith(text) or e.id.startswith(text))]
        if len(found) == 1:
            return found[0]
        if found:
            shown = ", ".join(f"{e.name} ({e.id})" for e in found[:_SHOWN])
            more = f", and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
            raise UserError(f"Several entries in {self.path} begin with '{text}'.", hint=f"They are: {shown}{more}.")
        names = [e.name for e in entries]
        raise UserError(
            f"There is no entry '{text}' in {self.path}.{did_you_mean(text, names)}",
            hint=f"See: esper league table {self.path}" if names else EMPTY.format(self.path),
        )

    def weights(self, entry: LeagueEntry) -> Path:
        """Return the folder of the checkpoint of an entry that is no rule."""
        return self.path / WEIGHTS / entry.id

    def broken(self, entry: LeagueEntry, index: Index) -> str:
        """Return why an entry cannot play here, one sentence; empty for one that can."""
        try:
            adding.check(self.plan, entry, self.weights(entry), index)
        except EsperError as error:
            return error.message
        return ""

    # Matches and ratings --------------------------------------------------------------------------------------------

    def record(self, match: Match) -> bool:
        """Record a match, once; return False where the pair has played this instance already.

        Raises:
            UserError: an entry is not in the league.
        """
        with self._store.writing():
            known = {entry.id for entry in self._store.entries()}
            for side in (match.first, match.second):
                if side not in known:
                    raise UserError(f"{side} is not in the league {self.path}.", hint="Add it first.")
            return self._store.insert_match(evolve(match, played_at=match.played_at or now()))

    def matches(self, *, unrated: bool = False) -> list[Match]:
        """Return all matches, oldest first, or those alone that no rating period has counted."""
        return self._store.matches(unrated=unrated)

    def rate_period(self) -> Period:
        """Close a rating period: rate everybody by the matches since the last, from the ratings before it.

        Who played no match becomes less certain; who is retired stays as it is, unless it played.

        Raises:
            UserError: no match was played since.
        """
        with self._store.writing():
            matches = self._store.matches(unrated=True)
            if not matches:
                raise UserError(
                    f"No match was played in {self.path} since the last rating period.",
                    hint=f"Play some: esper league play {self.path}",
                )
            played = {side for match in matches for side in (match.first, match.second)}
            rated = [entry for entry in self._store.entries() if entry.plays or entry.id in played]
            place = {entry.id: number for number, entry in enumerate(rated)}
            results = [(place[match.first], place[match.second], match.score) for match in matches]
            after = rate_all([entry.rating for entry in rated], results)
            at = now()
            number = self._store.close_period(at, zip(rated, after, strict=True))
        return Period(number, at, len(matches), {e.id: rating for e, rating in zip(rated, after, strict=True)})

    def history(self) -> list[Past]:
        """Return everybody's rating and kind after every period, in order."""
        return self._store.history()

    def matrix(self) -> Matrix:
        """Return who scored what against whom in all matches, those of retired entries too."""
        with self._store.reading():
            return matrix_of(self._store.entries(), self._store.matches())

    def cyclic_triples(self) -> list[tuple[str, str, str]]:
        """Return triples of names in which each surely beats the next and the last the first: no rating can say so."""
        return triples(self.matrix()).cyclic

    # Promotion and retirement ---------------------------------------------------------------------------------------

    def promote(self, top: int = retirement.KEEP_TOP) -> list[LeagueEntry]:
        """Make commanders of the candidates that are among the best `top`; return them, the best first."""
        with self._store.writing():
            entries = self._store.entries()
            ranked, chosen = retirement.contenders(entries), retirement.promotions(entries, top)
            why = [{**retirement.reasons(ranked, entry), "top": top} for entry in chosen]
            return [self._become(entry, COMMANDER, "promoted", facts) for entry, facts in zip(chosen, why, strict=True)]

    def retire(
        self,
        keep_top: int = retirement.KEEP_TOP,
        min_games: int = retirement.MIN_GAMES,
        *,
        dry_run: bool = False,
    ) -> list[LeagueEntry]:
        """Retire the commanders outside the best `keep_top` that have enough games; return them, the worst first.

        They stay in the league with all that is known of them. With `dry_run` they are returned alone.
        """
        if dry_run:
            return retirement.retirements(self.entries(), keep_top, min_games)
        with self._store.writing():
            entries = self._store.entries()
            ranked, chosen = retirement.commanders(entries), retirement.retirements(entries, keep_top, min_games)
            limits = {"keep_top": keep_top, "min_games": min_games}
            why = [{**retirement.reasons(ranked, entry), **limits} for entry in chosen]
            return [self._become(entry, RETIRED, "retired", facts) for entry, facts in zip(chosen, why, strict=True)]

    def reinstate(self, text: str) -> LeagueEntry:
        """Make a retired entry a commander again, less certain by the periods that it missed.

        Raises:
            UserError: there is no such entry, or it is not retired.
        """
        with self._store.writing():
            entry = self.entry(text)
            if entry.kind != RETIRED:
                raise UserError(f"'{entry.name}' is not retired: it is a {entry.kind}.")
            missed = self._store.periods_missed(entry.id)
            rating = idle(entry.rating, missed)
            self._store.set_rating(entry.id, rating)
            facts = {"periods_missed": missed, "rd_before": entry.rating.rd}
            return evolve(self._become(entry, COMMANDER, "reinstated", facts), rating=rating)

    def happenings(self) -> list[Happening]:
        """Return what became of entries, in order."""
        return self._store.happenings()

    def _become(self, entry: LeagueEntry, kind: str, what: str, why: Mapping[str, Any]) -> LeagueEntry:
        at = now()
        became = evolve(entry, kind=kind, retired_at=at if kind == RETIRED else None)
        self._store.set_kind(entry.id, kind, became.retired_at)
        self._store.note(Happening(at, entry.id, what, why))
        return became
