"""The page of a league: what it says, and that nothing in a league can make it say something else."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path

import pytest

from esper_core.contracts.errors import UserError
from esper_core.registry.index import Index
from esper_core.runs.directory import RunDirectory
from esper_league import League, Match
from esper_league.report.encounters import wilson
from esper_league.report.page import render, write_report
from esper_league.report.record import Record
from plugins.league.tests.conftest import commander, enter, play
from tests.browser import browse, measure, needs_browser
from tests.command import Esper

HOSTILE = "<script>alert(1)</script>\"><img src=x onerror='alert(2)'></style> {{ 7 * 7 }} javascript:alert(5) \u202e"


class Page(HTMLParser):
    """Everything a browser would see: elements, attributes and texts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.text = " ".join(" ".join(self.texts).split())
        self.links = [value for name, value in self.attributes if name in ("href", "src")]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def play_fast(league: League, results: Iterable[tuple[str, str, float]], first: int = 0) -> None:
    """Record matches as `play` does, in one transaction: a league's file is synced after each."""
    with league._store.writing():
        for number, (one, other, score) in enumerate(results):
            assert league._store.insert_match(Match(one, other, first + number, score))


def season(league: League, strengths: Mapping[str, float], games: int = 10, first: int = 0) -> None:
    """Let everybody play everybody as strengths let expect, and close the period."""
    luck = random.Random(first)
    pairs = list(combinations(strengths, 2))
    chances = [1 / (1 + 10 ** ((strengths[b] - strengths[a]) / 400)) for a, b in pairs]
    play_fast(
        league,
        [(a, b, float(luck.random() < p)) for (a, b), p in zip(pairs, chances, strict=True) for _ in range(games)],
        first,
    )
    league.rate_period()


def cycle(league: League, games: int = 20) -> None:
    """Let rock, paper and scissors beat each other in a circle."""
    enter(league, *(commander(name, games=0) for name in ("rock", "paper", "scissors")))
    for a, b in (("rock", "scissors"), ("scissors", "paper"), ("paper", "rock")):
        play_fast(league, [*[(a, b, 1.0)] * (games - 1), (a, b, 0.5)])


@pytest.fixture
def sound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is in a league can play, with weights or without."""
    monkeypatch.setattr(League, "broken", lambda *_: "")


@pytest.fixture
def grown(arena: League, sound: None) -> League:
    """A league of twelve after four periods: ten were promoted, two of these retired, and one of those reinstated."""
    strengths = {f"entry-with-a-rather-long-name-{i}": 1800.0 - 60 * i for i in range(12)}
    for i, name in enumerate(strengths):
        enter(arena, commander(name, rd=350, games=0, kind="rule" if i % 5 == 4 else "candidate"))
    for period in range(4):
        season(arena, strengths, 4, first=1000 * period)
        if period == 1:
            arena.promote()
        if period == 2:
            arena.retire(keep_top=8)
    arena.reinstate("entry-with-a-rather-long-name-11")
    play(arena, ("entry-with-a-rather-long-name-1", "entry-with-a-rather-long-name-2", 1.0), first=9000)
    return arena


def page(league: League, index: Index) -> Page:
    return Page(render(Record.read(league, index), league.path / "report.html"))


def test_what_happened_is_told(grown: League, index: Index) -> None:
    shown = page(grown, index)
    best, back, gone = (grown.entry(f"entry-with-a-rather-long-name-{i}") for i in (0, 11, 10))
    place = [entry.id for entry in Record.read(grown, index).entries].index(best.id) + 1
    rating = f"{best.rating.rating:,.0f} ± {2 * best.rating.rd:,.0f}"
    assert f"{place} {best.name} commander {rating} {best.rating.conservative:,.0f}" in shown.text
    assert f"{best.name} promoted 2" in shown.text and f"{gone.name} retired 3" in shown.text
    assert f"{back.name} reinstated 4" in shown.text and "keep top 8, min games 20" in shown.text
    for career in (
        "candidate → commander",
        "candidate → commander → retired",
        "candidate → commander → retired → commander",
    ):
        assert f" {career} " in shown.text
    assert "1 match waits for the next rating period" in shown.text
    assert "Of 220 triples" not in shown.text and "in which every pair is decided (95 %), none is a cycle" in shown.text
    # The same in the pictures: a curve over periods with its marks, and a matrix whose cells say what they are.
    said = [value for name, value in shown.attributes if name in ("title", "aria-label")]
    assert f"{best.name} over periods 1 to 4: {best.name} from" in " ".join(said)
    assert {"promoted after period 2", "retired after period 3"} <= set(shown.texts)
    assert any(re.fullmatch(rf"{best.name} against {gone.name}: [\d.]+ of 16", text) for text in said)


def test_links_lead_to_runs_and_nowhere_else(arena: League, index: Index, run: RunDirectory, tmp_path: Path) -> None:
    arena.add_run(run, index)
    enter(arena, commander("lost", source="runs/lost@3", meta={"run": "javascript:alert(1)"}))
    (folder,) = [link for link in page(arena, index).links if not link.startswith(("#", "data:,"))]
    assert (arena.path / folder).resolve() == run.path.resolve() and folder.startswith("./")
    (run.path / "report.html").touch()
    (link,) = [link for link in page(arena, index).links if not link.startswith(("#", "data:,"))]
    assert (arena.path / link).resolve() == (run.path / "report.html").resolve()


def test_who_cannot_play_is_named(arena: League, index: Index) -> None:
    enter(arena, commander("without-weights"))
    arena.add_rule("random", index)
    text = page(arena, index).text
    assert "1 cannot play any more The others do. without-weights:" in text and "commander, broken" in text
    assert "rule, broken" not in text


def test_a_game_that_is_not_transitive_is_warned_of(arena: League, index: Index, sound: None) -> None:
    cycle(arena)
    text = page(arena, index).text
    assert "This game is not transitive Of 1 triple in which every pair is decided, 1 is a cycle" in text
    table = text.split("beats the first ")[1].split(" Score of the row")[0]
    assert "rock 19.5 of 20 scissors 19.5 of 20 paper 19.5 of 20" in f"{table} {table}"
    assert "cycles 1 not transitive" in text


def test_decided_triples_and_intervals_are_right(arena: League, index: Index) -> None:
    cycle(arena)
    enter(arena, commander("new"), commander("other"))
    play(arena, ("new", "rock", 1.0), *[("other", name, 1.0) for name in ("rock", "paper") for _ in range(9)])
    record = Record.read(arena, index)
    assert record.triples.decided == 2
    assert wilson(8, 10) == pytest.approx((0.4901625, 0.9433178), abs=1e-5)  # scipy.stats.binomtest(8, 10), Wilson


@pytest.mark.parametrize("told", [(), ("a",)])
def test_a_league_that_has_just_begun(arena: League, index: Index, sound: None, told: tuple[str, ...]) -> None:
    enter(arena, *map(commander, told))
    text = page(arena, index).text
    assert ("Nobody plays here yet. Add somebody: esper league add" in text) != bool(told)
    assert "No match was played yet" in text and "No rating period was closed yet" in text


def test_no_text_of_a_league_becomes_markup(arena: League, index: Index, sound: None) -> None:
    for number, text in enumerate((HOSTILE, "word")):
        names = [f"{text}{i}" for i in range(3)]
        enter(arena, *(commander(name, source=text, meta={"run": text}) for name in names))
        season(arena, dict.fromkeys(names, 1500.0), first=number)
    arena.retire(keep_top=1)
    shown = page(arena, index)
    assert not {"script", "img", "iframe", "object", "form"} & shown.tags
    assert not [name for name, _ in shown.attributes if name.startswith("on")]
    assert shown.text.count("<script>alert(1)</script>") > 12, "it is said, as it is"


def test_a_large_league_makes_no_huge_page(arena: League, index: Index, sound: None) -> None:
    names = [f"entry-{i}" for i in range(150)]
    enter(arena, *map(commander, names))
    play_fast(arena, [(a, b, 0.5) for a, b in combinations(names, 2)])
    arena.rate_period()
    html = render(Record.read(arena, index), arena.path / "report.html")
    for count in ("first 60 of 150", "first 24 of 150", "first 40 of 150"):
        assert count in html
    assert len(html) < 1_500_000


def test_the_command_writes_it_and_writes_over_nothing_else(arena: League, index: Index, process: Esper) -> None:
    done = process("league", "report", "arena")
    assert done.returncode == 0 and done.stdout.startswith("arena/report.html"), done.stderr
    assert "duel" in (arena.path / "report.html").read_text()
    (arena.path / "notes").touch()
    with pytest.raises(UserError, match="notes is there already, and is not a report"):
        write_report(arena, index, arena.path / "notes")


@needs_browser
@pytest.mark.slow
@pytest.mark.parametrize(("width", "columns"), [(1280, 3), (390, 1)])
def test_everything_can_be_read_in_a_browser(grown: League, index: Index, width: int, columns: int) -> None:
    path = grown.path / "report.html"
    write_report(grown, index, path)
    done = browse(path)
    assert "Who beats whom" in done.stdout and "CONSOLE" not in done.stderr, done.stderr
    measured = measure(path, width)
    assert measured["columns"] == columns and measured["bars"] >= 12 + 12 and measured["cells"] == 12 * 12
