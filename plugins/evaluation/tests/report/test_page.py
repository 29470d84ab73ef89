"""The page of a run: what it says, and that nothing in a run can make it say something else."""

from __future__ import annotations

import re
import tracemalloc
from html.parser import HTMLParser
from typing import Any

import pytest

from esper_core.contracts.errors import DamagedFile, EsperError, UserError
from esper_core.system.printable import visible_line
from esper_evaluation.report import charts
from esper_evaluation.report.charts import Line, LineChart, Point
from esper_evaluation.report.figures import short
from esper_evaluation.report.page import render, write_report
from esper_evaluation.report.record import Record
from plugins.evaluation.tests.report.conftest import MakeRun, component, episode, line, seed

HOSTILE = (
    "<script>alert(1)</script>\"><img src=x onerror='alert(2)'></style></title></svg><svg onload=alert(3)>' autofocus "
    "{{ 7 * 7 }}{% include 'x' %} javascript:alert(5) ☃ ünïcödé \u202egnp.exe &lt;b&gt;"
)


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
    for words in (
        *("lstm-v2", "4 of 4 finished", "Learning", "What grew", "Timeline, update 4", "Final topology", "Operations"),
        *("Entropy of each head", "Q spread", "KL(old ‖ new)", "No metric left its healthy range"),
        *("network lstm-v2 acme-lstm-v2 1.0 hidden_dim = 512", "f" * 40, "torch 2.13.0", "train.lr 0.0003"),
    ):
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


def test_numbers_of_slots_that_are_drawn_are_told_apart(make_run: MakeRun) -> None:
    lines = [line(update, slots=float(1 + update % 2)) for update in range(1, 5)]
    init = {"run": "/runs/first", "update": 7, "digest": "abc"}
    content = page(make_run(lines=lines, drawn=[1, 2], init=init)).text
    assert "1, 2 slots, drawn for each update" in content and "slots drawn for each update 1, 2" in content
    assert "begun with /runs/first, update 7" in content
    # Episodes of an update bring a tenth of its number.
    rows = re.search(r"slots updates return( \S+)* 1 2 0\.3 .*? 2 2 0\.2 ", content)
    assert rows, content[:3000]


def test_heads_of_numbers_have_charts_of_their_own(make_run: MakeRun) -> None:
    names = ("entropy", "std", "std_min", "saturated")
    learned = {u: dict(zip(names, (-0.5 * u, 1 / u, 0.5 / u, 0.1 * u), strict=True)) for u in (1, 2)}
    lines = [line(u, **{f"{name}/aim": value for name, value in found.items()}) for u, found in learned.items()]
    drawn = [text for _, text in page(make_run(lines=lines, events=[])).attributes]
    for chart in (
        "Entropy of each head over updates 1 to 2: op from 1 to 0.5.",
        "Entropy of heads of numbers over updates 1 to 2: aim from −0.5 to −1.",
        "Standard deviation of numbers over updates 1 to 2: aim from 1 to 0.5.",
        "Numbers at their bounds over updates 1 to 2: aim from 0.1 to 0.2.",
    ):
        assert chart in drawn


def test_opponents_have_a_chapter_where_there_are_any(make_run: MakeRun) -> None:
    assert "Whom it was trained against" not in page(make_run()).text

    def match(update: int, name: str, won: float, side: int) -> dict[str, Any]:
        event = {"env": 0, "step": 9, "type": "match", "instance": side}
        return {**event, "update": update, "opponent": name, "won": won, "side": side}

    many = [match(2, f"rare{n}", 0.5, 1) for n in range(7)]
    events = [match(1, "hold", 1, 0), match(1, "hold", 0, 1), match(2, "hold", 1, 0), *many, {**many[0], "type": "odd"}]
    lines = [line(1), line(2, **{"weight/hold": 0.25, "rating": 1523.4})]
    words = {"headlines": [{"name": "rating", "label": "rated", "short": "", "meaning": "", "headline": 1}]}
    shown = page(make_run("league", lines=lines, events=events, record={"words": words}))
    assert "10 matches against 8 opponents ended." in shown.text and "rated 1,523 mean, update 2" in shown.text
    assert "hold 3 0.667 [−0.768, 2.101] 1.000 0.000 0.25 1 to 2" in shown.text
    assert "Scored against them over updates 1 to 2: hold from 0.5 to 1;" in " ".join(v for _, v in shown.attributes)
    assert "others 25" in shown.text, "two of the eight matches of the last update"


def test_it_needs_no_network_and_no_script(make_run: MakeRun) -> None:
    html = render(Record.read(make_run()))
    shown = Page(html)
    assert not {"script", "img", "iframe", "object", "form"} & set(shown.tags)
    links = [value for name, value in shown.attributes if name in ("href", "src", "action", "xlink:href")]
    assert links and all(link.startswith("#") or link == "data:," for link in links)
    assert "url(" not in html and "@import" not in html
    policy = next(v for _, v in shown.attributes if v.startswith("default-src"))
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    # Every picture says in words what it shows.
    pictures = re.findall(r'<svg viewBox[^>]*role="img" aria-label="([^"]+)">\s*<title>([^<]+)</title>', html)
    assert len(pictures) == html.count("<svg") > 5
    assert all(label == title and title.endswith(".") for label, title in pictures)


def test_no_text_of_a_run_becomes_markup(make_run: MakeRun) -> None:
    def written(name: str, text: str) -> Any:
        seeds = seed(0, text, text, (0, text, 5), (3, f"{text}2", 5))
        seeds[0]["blend"] = seeds[0]["type"] = text
        warning = {"threshold": text, "metric": text, "since": 1, "message": text, "head": None, "value": 1, "bound": 1}
        metrics = {text: 0.5, f"op/{text}": 1.0, f"entropy/{text}": 0.5, f"advantage/{text}": 0.1}
        timing = {"seconds": 1.0, "phases": {text: 1.0}}
        return make_run(
            name,
            events=[{"update": 1, **event} for event in (*seeds, episode(0, **{text: 0.5}))],
            lines=[line(1, warnings=[warning], **metrics, timing=timing)],
            record={
                "created": text,
                "distributions": {text: {"version": text, "source": text}},
                **{key: {text: text} for key in ("libraries", "machine")},
                "git": {"commit": text, "changed": True},
                "device": text,
            },
            policy=text,
            components=[component("network", text, **{text: text}), component("environment", "growth")],
            train={text: text},
        )

    shown, plain = page(written("hostile", HOSTILE)), page(written("plain", "word"))
    assert set(shown.tags) <= set(plain.tags) | {"title"}
    assert not [name for name, _ in shown.attributes if name.startswith("on") or name == "autofocus"]
    assert shown.text.count(" ".join(visible_line(HOSTILE).split())) > 20, "it is said, as it is"


def test_a_run_of_another_kind_of_environment(make_run: MakeRun) -> None:
    events = [
        {"update": 1, "env": 0, "step": 3, "type": "explosion", "where": [1, 2]},
        {"update": 1, "env": 0, "step": 9, "type": "episode", "return": 1.5},
    ]
    lines = [{"update": 1, "environment_steps": 10, "return": 1.5, "loss": 0.2, "timing": {"seconds": 1.0}}]
    text = page(make_run(events=events, lines=lines)).text
    for words in ("The events of this run name no slots", "have no operation head", "There is no Q spread"):
        assert words in text
    assert "return 1.500 one episode, update 1" in text
    text = page(make_run("not-begun", lines=[], events=[])).text
    assert "0 of 4 not finished" in text and "nothing to draw" in text


def test_many_updates_share_points_and_many_environments_a_page(make_run: MakeRun) -> None:
    events = [
        {"update": u, **event}
        for u in range(1, 501)
        for env in range(12)
        for event in (*seed(env, "r0c0", "norm", (0, "A", 9)), episode(env))
    ]
    run = make_run(events=events, updates=500, envs=12)
    html = render(Record.read(run))
    assert "A point stands for 4 updates." in html and "8 of 12 environments are drawn." in html
    assert len(html) < 400_000


@pytest.mark.parametrize(
    ("text", "message"), [("{broken\n", "this line is damaged"), ('{"update": 5}\n', ".*'timing' is missing")]
)
def test_a_damaged_line_is_named(make_run: MakeRun, text: str, message: str) -> None:
    run = make_run()
    with (run.path / "metrics.jsonl").open("a") as stream:
        stream.write(text)
    with pytest.raises(EsperError, match=rf"metrics\.jsonl:5: {message}"):
        page(run)


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


def test_nothing_but_a_report_is_written_over(make_run: MakeRun) -> None:
    run = make_run()
    with pytest.raises(UserError, match=r"run\.json is there already, and is not a report"):
        write_report(run, run.path / "run.json")
    for _ in range(2):
        write_report(run, run.path / "mine.html")


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (-12.0, "−12"), (0.12345, "0.123"), (1700.5, "1,700"), (1e-5, "1e-05")]
)
def test_numbers_are_short(value: float | None, text: str) -> None:
    assert short(value) == text


@pytest.mark.parametrize("values", [(0.0, 0.0), (1e-12, 2e-12), (-1e9, 1e9), (1000.1, 1000.2)])
def test_axes_hold_what_is_drawn(values: tuple[float, float]) -> None:
    chart = LineChart("x", "", [Line("a", [Point(1, values[0]), Point(2, values[1])])], [1, 2])
    heights = [float(number) for number in re.findall(r" ([\d.]+)", chart.strokes[0].path)]
    assert all(charts.TOP <= height <= charts.HEIGHT - charts.BOTTOM for height in heights)
    assert len(chart.y_ticks) >= 2 and len({tick.label for tick in chart.y_ticks}) == len(chart.y_ticks)
