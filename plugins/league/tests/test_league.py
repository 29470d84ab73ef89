"""What a league remembers: every change once, and nothing without its reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from esper_core.contracts.errors import EsperError, UserError
from esper_core.registry.index import Index
from esper_core.runs.checkpoint import choose_checkpoint
from esper_core.runs.directory import RunDirectory
from esper_league import Glicko2Rating, League, LeagueEntry, Match, rate
from esper_league.glicko import idle
from esper_league.weights import read, write
from plugins.league.tests.conftest import MakeRun, Planned, commander, enter, play
from tests.disk import full_disk


def kinds(league: League) -> dict[str, str]:
    return {entry.name: entry.kind for entry in league.entries()}


def test_a_match_counts_once_for_both(arena: League) -> None:
    enter(arena, commander("a", games=0), commander("b", games=0))
    assert arena.record(Match("a", "b", 3, 1.0, {"margin": 2.5}))
    assert not arena.record(Match("a", "b", 3, 0.0)), "the pair has played this instance"
    assert arena.record(Match("b", "a", 3, 1.0)) and arena.record(Match("a", "b", 2, 0.5))
    assert [entry.games for entry in arena.entries()] == [3, 3]
    assert [(m.first, m.instance, m.score) for m in arena.matches()] == [("a", 3, 1.0), ("b", 3, 1.0), ("a", 2, 0.5)]
    assert arena.matches()[0].outcome == {"margin": 2.5}
    with pytest.raises(UserError, match="c is not in the league"):
        arena.record(Match("a", "c", 0, 1.0))
    with pytest.raises(ValueError, match="a score is"):
        Match("a", "b", 0, 1.5)


def test_a_period_rates_everybody_from_before_it(arena: League) -> None:
    a, b, idler = commander("a", 1400), commander("b", 1600), commander("idler", rd=80)
    gone = commander("gone", kind="retired", retired_at="2026")
    late = commander("late", kind="retired", retired_at="2026")
    enter(arena, a, b, idler, gone, late)
    play(arena, ("a", "b", 1.0), ("b", "late", 0.5))
    period = arena.rate_period()
    assert (period.number, period.matches) == (1, 2)
    assert period.ratings == {entry.id: entry.rating for entry in arena.entries() if entry.name != "gone"}
    assert period.ratings["a"] == rate(a.rating, [(b.rating, 1.0)])
    assert period.ratings["b"] == rate(b.rating, [(a.rating, 0.0), (late.rating, 0.5)])
    assert period.ratings["idler"].rd > 80 and arena.entry("gone").rating == gone.rating
    assert [m.period for m in arena.matches()] == [1, 1] and arena.matches(unrated=True) == []
    with pytest.raises(UserError, match="No match was played"):
        arena.rate_period()
    play(arena, ("a", "b", 0.0), first=5)
    assert arena.rate_period().number == 2
    assert [(p.period, p.entry, p.kind) for p in arena.history() if p.entry in ("a", "late")] == [
        *((1, "a", "commander"), (1, "late", "retired"), (2, "a", "commander"))
    ]


def test_promotion_retirement_and_reinstatement_are_kept_with_their_reasons(arena: League) -> None:
    enter(arena, commander("strong", 1700), commander("weak", 1300), commander("new", 1500, kind="candidate"))
    assert [e.kind for e in arena.promote(2)] == ["commander"] and arena.promote(2) == []
    assert [e.name for e in arena.retire(2, dry_run=True)] == ["weak"] and kinds(arena)["weak"] == "commander"
    (gone,) = arena.retire(2)
    assert gone == arena.entry("weak") and gone.kind == "retired" and gone.retired_at and arena.retire(2) == []
    assert kinds(arena) == {"strong": "commander", "weak": "retired", "new": "commander"}
    play(arena, ("strong", "new", 1.0))
    arena.rate_period()
    again = arena.reinstate("weak")
    assert again == arena.entry("weak") and again.kind == "commander" and again.retired_at is None
    assert again.rating == idle(Glicko2Rating(1300, 50)), "it missed one period"
    told = [(event.entry, event.what, event.why.get("rank")) for event in arena.happenings()]
    assert told == [("new", "promoted", 2), ("weak", "retired", 3), ("weak", "reinstated", None)]
    with pytest.raises(UserError, match="'weak' is not retired: it is a commander"):
        arena.reinstate("weak")


def test_a_run_is_added_once_and_stays_what_it_became(
    arena: League, index: Index, run: RunDirectory, make_run: MakeRun
) -> None:
    entry, is_new = arena.add_run(run, index)
    short = run.name.rpartition("-")[2]
    assert is_new and (entry.kind, entry.name) == ("candidate", f"reference-{short}@1")
    assert (entry.meta["run"], entry.meta["update"]) == (str(run.path), 1)
    assert arena.add_run(run, index, name="other") == (entry, False)
    with arena._store.writing():
        arena._store.set_kind(entry.id, "retired", "2026")
    found, is_new = arena.add_run(run, index)
    assert not is_new and found.kind == "retired", "retired is final until it is reinstated"
    other = arena.add_run(make_run(seed=5), index, name="other").entry
    assert other.id != entry.id and arena.entry("other") == arena.entry(other.id[:6]) == other
    with pytest.raises(UserError, match="name 'other' is that of"):
        arena.add_run(make_run(seed=6), index, name="other")
    with pytest.raises(UserError, match="cannot be called '-x'"):
        arena.add_run(make_run(seed=7), index, name="-x")
    assert [event.what for event in arena.happenings()] == ["added", "added"]


def test_a_full_disk_leaves_nobody_half_added(arena: League, index: Index, run: RunDirectory) -> None:
    with full_disk(), pytest.raises(EsperError, match="No space left on device") as caught:
        arena.add_run(run, index)
    assert "add it again" in caught.value.hint and arena.entries() == []
    assert list((arena.path / "weights").iterdir()) == []
    # A process that died after the weights were there, and before the entry was, has left them.
    write(arena.path, read(choose_checkpoint(run, "last")))
    assert arena.add_run(run, index).is_new


def test_a_rule_is_an_entry_that_no_one_promotes(arena: League, index: Index) -> None:
    entry, is_new = arena.add_rule("random", index)
    assert is_new and (entry.kind, entry.source) == ("rule", "rule random")
    assert arena.add_rule("Random", index, name="chance") == (entry, False)


def test_what_is_not_there(arena: League, index: Index, planned: Planned, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no entry 'random'") as caught:
        arena.entry("random")
    assert "esper league add" in caught.value.hint
    enter(arena, commander("same1"), commander("same2"), LeagueEntry("9f3a", "other"))
    with pytest.raises(UserError, match=r"Several entries in .* begin with 'same'") as caught:
        arena.entry("same")
    assert "same1 (same1), same2 (same2)" in caught.value.hint
    assert arena.entry("oth") == arena.entry("9f") == arena.entry("other")
    with pytest.raises(UserError, match="is not a league"):
        League.open(tmp_path)
    with pytest.raises(UserError, match="is a league already"):
        League.create(arena.path, planned(), index)
    (tmp_path / "league.sqlite").touch()
    with pytest.raises(UserError, match="never finished"):
        League.open(tmp_path)
    League.create(tmp_path, planned(), index).close()
    with League.open(tmp_path) as league:
        assert league.plan == arena.plan and league.game == arena.game and league.entries() == []


def test_names_and_kinds_are_checked() -> None:
    entry = LeagueEntry("a", "a")
    assert entry.plays and not evolve(entry, kind="retired").plays
    with pytest.raises(ValueError, match="kind"):
        LeagueEntry("a", "a", "champion")
