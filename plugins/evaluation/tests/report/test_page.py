"""The page of a run: what it says, and that nothing in a run can make it say something else."""

from __future__ import annotations

import json
import re
import tracemalloc
from html.parser import HTMLParser
from typing import Any

import pytest

from esper_core.contracts.errors import DamagedFile, EsperError, UserError
from esper_core.system.files import is_temporary
from esper_core.system.printable import visible_line
from esper_evaluation.report import charts
from esper_evaluation.report.charts import Line, LineChart, Point
from esper_evaluation.report.figures import short
from esper_evaluation.report.page import render, write_report
from esper_evaluation.report.record import Record
from plugins.evaluation.tests.report.conftest import MakeRun, component, episode, grown, line, seed
from tests.disk import full_disk

HOSTILE = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(2)'>",
    "</style></title></svg><svg onload=alert(3)>",
    "' autofocus onfocus=alert(4) '",
    "{{ 7 * 7 }}{% include 'x' %}",
    "javascript:alert(5)",
    "☃ ünïcödé \u202egnp.exe",
    "&lt;b&gt;",
]


class Page(HTMLParser):
    """Everything a browser would see: elements, attributes and texts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.text = " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def page(run: Any) -> Page:
    return Page(render(Record.read(run)))


def test_it_has_every_chapter(make_run: MakeRun) -> None:
    shown = page(make_run())
    for words in ("lstm-v2", "4 of 4 finished", "Learning", "What grew", "Timeline, update 4", "Final topology"):
        assert words in shown.text
    for words in (
        "Operations",
        "Entropy of each head",
        "Q spread",
        "KL(old ‖ new)",
        "No metric left its healthy range",
    ):
        assert words in shown.text
    for words in ("network lstm-v2 acme-lstm-v2 1.0 hidden_dim = 512", "f" * 40, "torch 2.13.0", "train.lr 0.0003"):
        assert words in shown.text
    assert "133 parameters 1.33 × the host" in shown.text, "host 100 and one fossil of 33"


def test_headlines_and_words_for_slots_are_those_of_the_run(make_run: MakeRun) -> None:
    shown = page(make_run())
    assert "grown hosts 0.500" in shown.text and "Blueprints over time Seeds begun, by update." in shown.text
    other = page(make_run("other", record={"words": {"slots": {"content": "stage", "thing": "pump"}}}))
    assert "Stages over time Pumps begun, by update." in other.text and "What the slots held" in other.text
    assert "grown hosts" not in other.text and "× the" not in other.text


def test_numbers_of_episodes_are_drawn_with_their_interval(make_run: MakeRun) -> None:
    shown = page(make_run())
    # Two episodes at ± 0.05 around 0.4: 12.706 · 0.0707 / √2 on either side.
    assert "return 0.400 −0.235 to 1.035, update 4" in shown.text
    (table,) = re.findall(r"update return 95 % interval ((?:\d \S+ \S+ to \S+ ?)+)", shown.text)
    assert table.split(" ")[:5] == ["1", "0.1", "−0.535", "to", "0.735"]
    assert any("accuracy over updates 1 to 4" in v and "static accuracy from 0.3" in v for _, v in shown.attributes)


def test_it_needs_no_network_and_no_script(make_run: MakeRun) -> None:
    html = render(Record.read(make_run()))
    shown = Page(html)
    assert not {"script", "img", "iframe", "object", "form"} & set(shown.tags)
    links = [value for name, value in shown.attributes if name in ("href", "src", "action", "xlink:href")]
    assert links and all(link.startswith("#") or link == "data:," for link in links)
    assert "url(" not in html and "@import" not in html
    policy = next(v for _, v in shown.attributes if v.startswith("default-src"))
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def test_every_picture_says_in_words_what_it_shows(make_run: MakeRun) -> None:
    html = render(Record.read(make_run()))
    pictures = re.findall(r'<svg viewBox[^>]*role="img" aria-label="([^"]+)">\s*<title>([^<]+)</title>', html)
    assert len(pictures) == html.count("<svg") > 5
    assert all(label == title and title.endswith(".") for label, title in pictures)


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_of_a_run_becomes_markup(make_run: MakeRun, text: str) -> None:
    events = [
        {"update": 1, **event}
        for event in (*seed(0, text, text, (0, text, 5), (3, f"{text}2", 5)), episode(0, **{text: 0.5}))
    ]
    events[0]["blend"] = events[0]["type"] = text
    warning = {"threshold": text, "metric": text, "since": 1, "message": text, "head": None, "value": 1.0, "bound": 1.0}
    metrics = {text: 0.5, f"op/{text}": 1.0, f"entropy/{text}": 0.5, f"advantage/{text}": 0.1}
    timing = {"seconds": 1.0, "phases": {text: 1.0}}
    run = make_run(
        events=events,
        lines=[line(1, warnings=[warning], **metrics, timing=timing)],
        record={
            "created": text,
            "distributions": {text: {"version": text, "source": text}},
            "libraries": {text: text},
            "machine": {text: text},
            "git": {"commit": text, "changed": True},
            "device": text,
        },
        policy=text,
        slots=["r0c0", "r0c1"],
        components=[component("network", text, **{text: text}), component("environment", "growth")],
        train={text: text},
    )
    plain = make_run(
        "plain",
        events=[json.loads(json.dumps(event).replace(json.dumps(text)[1:-1], "word")) for event in events],
        lines=[
            json.loads(
                json.dumps(line(1, warnings=[warning], **metrics, timing=timing)).replace(
                    json.dumps(text)[1:-1], "word"
                )
            )
        ],
        components=[component("network", "word"), component("environment", "growth")],
    )
    shown = page(run)
    assert set(shown.tags) <= set(page(plain).tags) | {"title"}
    assert not [name for name, _ in shown.attributes if name.startswith("on") or name == "autofocus"]
    assert shown.text.count(" ".join(visible_line(text).split())) > 20, "it is said, as it is"


def test_a_run_of_another_kind_of_environment(make_run: MakeRun) -> None:
    events = [
        {"update": 1, "env": 0, "step": 3, "type": "explosion", "where": [1, 2]},
        {"update": 1, "env": 0, "step": 9, "type": "episode", "return": 1.5},
    ]
    lines = [{"update": 1, "environment_steps": 10, "return": 1.5, "loss": 0.2, "timing": {"seconds": 1.0}}]
    shown = page(make_run(events=events, lines=lines))
    assert "The events of this run name no slots" in shown.text
    assert "have no operation head" in shown.text
    assert "There is no Q spread" in shown.text
    assert "return 1.500 one episode, update 1" in shown.text


def test_a_run_that_has_not_begun(make_run: MakeRun) -> None:
    shown = page(make_run(lines=[], events=[]))
    assert "0 of 4 not finished" in shown.text and "nothing to draw" in shown.text


def test_a_run_of_one_update(make_run: MakeRun) -> None:
    shown = page(make_run(updates=1))
    assert "1 of 4 not finished" in shown.text and "Timeline, update 1" in shown.text
    assert shown.tags.count("circle") > 3, "single points are dots"


def test_events_of_an_update_in_flight_are_left_out(make_run: MakeRun) -> None:
    run = make_run(lines=[line(1)], events=[*grown(1), *grown(2)])
    assert {event["update"] for event in Record.read(run).events} == {1}


def test_many_updates_share_points_and_many_environments_a_page(make_run: MakeRun) -> None:
    events = [
        {"update": u, **event}
        for u in range(1, 501)
        for env in range(12)
        for event in (*seed(env, "r0c0", "norm", (0, "A", 9)), episode(env))
    ]
    run = make_run(lines=[line(u) for u in range(1, 501)], events=events, updates=500, envs=12)
    html = render(Record.read(run))
    assert "A point stands for 4 updates." in html
    assert "8 of 12 environments are drawn." in html
    assert len(html) < 400_000


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("metrics.jsonl", "{broken\n", r"metrics\.jsonl:5: this line is damaged"),
        ("metrics.jsonl", '{"update": 5}\n', r"metrics\.jsonl:5: .*'timing' is missing"),
        ("events.jsonl", "[1, 2]\n", r"events\.jsonl:33: this line is damaged"),
    ],
)
def test_a_damaged_line_is_named(make_run: MakeRun, file: str, text: str, message: str) -> None:
    run = make_run()
    with (run.path / file).open("a") as stream:
        stream.write(text)
    with pytest.raises(EsperError, match=message):
        page(run)


def test_a_line_cut_off_by_a_kill_is_left_out(make_run: MakeRun) -> None:
    run = make_run()
    with (run.path / "metrics.jsonl").open("a") as stream:
        stream.write('{"update": 5, "envir')
    assert "4 of 4 finished" in page(run).text


def test_numbers_that_are_none_are_gaps(make_run: MakeRun) -> None:
    lines = [line(u, q_spread=None if u == 2 else 0.1, kl=None) for u in (1, 2, 3)]
    shown = page(make_run(lines=lines, events=[]))
    assert "Q spread over updates 1 to 3" in " ".join(v for _, v in shown.attributes)
    assert "KL(old" not in shown.text


@pytest.mark.parametrize("horizon", [10, None])
def test_no_number_in_a_file_decides_how_much_memory_a_page_takes(make_run: MakeRun, horizon: int | None) -> None:
    last = [*seed(0, "r0c0", "norm", (0, "A", 9), (10**9, "B", 9)), episode(0, step=10**9)]
    run = make_run(events=[{"update": 4, **event} for event in last], record={"horizon": horizon})
    tracemalloc.start()
    if horizon is None:
        render(Record.read(run))
    else:
        with pytest.raises(DamagedFile, match=r"events\.jsonl:2: .*there is no step 1000000000 of 10"):
            Record.read(run)
    assert tracemalloc.get_traced_memory()[1] < 200_000_000
    tracemalloc.stop()


def test_numbers_that_cannot_be_drawn_are_gaps(make_run: MakeRun) -> None:
    lines = [line(u, kl=(-1) ** u * 1e308, q_spread=1e200) for u in (1, 2, 3, 4)]
    events = [{"update": u, **episode(env, **{"return": 1e300})} for u in (1, 2, 3, 4) for env in (0, 1)]
    shown = page(make_run(lines=lines, events=events))
    assert "KL(old" not in shown.text


def test_what_was_there_stays_when_the_page_cannot_be_written(make_run: MakeRun) -> None:
    run = make_run()
    path = run.path / "report.html"
    write_report(run, path)
    before = path.read_text()

    with full_disk(), pytest.raises(EsperError, match=r"report\.html cannot be written: No space left on device"):
        write_report(run, path)
    assert path.read_text() == before and not [entry for entry in run.path.iterdir() if is_temporary(entry.name)]


def test_nothing_but_a_report_is_written_over(make_run: MakeRun) -> None:
    run = make_run()
    with pytest.raises(UserError, match=r"run\.json is there already, and is not a report"):
        write_report(run, run.path / "run.json")
    page_of_mine = run.path / "mine.html"
    assert write_report(run, page_of_mine) == write_report(run, page_of_mine)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0"),
        (-12.0, "−12"),
        (0.12345, "0.123"),
        (-0.5, "−0.5"),
        (1700.5, "1,700"),
        (3596900, "3,596,900"),
        (1e-5, "1e-05"),
        (2e20, "2e+20"),
    ],
)
def test_numbers_are_short(value: float | None, text: str) -> None:
    assert short(value) == text


def test_single_points_of_several_lines_stand_side_by_side() -> None:
    lines = [Line(name, [Point(1, 0.5)]) for name in ("a", "b", "c")]
    xs = [stroke.dots[0][0] for stroke in LineChart("x", "", lines, [1]).strokes]
    assert xs[1] - xs[0] == xs[2] - xs[1] > 6


def test_gaps_part_a_line() -> None:
    points = [Point(1, 0.0), Point(2, 1.0), None, Point(4, 2.0), None, Point(6, 3.0), Point(7, 4.0)]
    (stroke,) = LineChart("x", "", [Line("a", points)], [1, 2, 3, 4, 5, 6, 7]).strokes
    assert stroke.path.count("M") == 2 and len(stroke.dots) == 1


@pytest.mark.parametrize(
    "values", [(0.0, 0.0), (5.0, 5.0), (-3.0, -3.0), (1e-12, 2e-12), (-1e9, 1e9), (0.9991, 0.9999), (1000.1, 1000.2)]
)
def test_axes_hold_what_is_drawn(values: tuple[float, float]) -> None:
    chart = LineChart("x", "", [Line("a", [Point(1, values[0]), Point(2, values[1])])], [1, 2])
    heights = [float(number) for number in re.findall(r" ([\d.]+)", chart.strokes[0].path)]
    assert all(charts.TOP <= height <= charts.HEIGHT - charts.BOTTOM for height in heights)
    assert len(chart.y_ticks) >= 2 and len({tick.label for tick in chart.y_ticks}) == len(chart.y_ticks)
