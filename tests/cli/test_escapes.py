"""What a terminal would obey, in names and texts of files, plugins and users, is written out; no name forges a line."""

from __future__ import annotations

import json
import logging
import re

import pytest

from esper_core.cli.app import run as esper
from esper_core.cli.frame import Picture, draw
from esper_core.cli.output import Visible, print_json, print_table, say, status_line
from esper_core.cli.pace import Pace
from esper_core.system.printable import visible, visible_line
from plugins.evaluation.tests.report.conftest import component, line
from plugins.evaluation.tests.report.conftest import make_run as make_run

pytest_plugins = ["esper_testing.pytest"]

EVIL = "\x1b]0;owned\a\x1b[2J\x9b31m\x7f\u202egpj\u2066\u200b\rError: forged"
FORGED = "x\nError: forged"
OBEYED = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def check(text: str) -> None:
    assert text and not OBEYED.search(text), ascii(text)
    assert "\nError: forged" not in text


def test_whatever_prints_makes_it_visible(capsys):
    assert visible("ünï → ☃\n2") == "ünï → ☃\n2" and visible_line("1\n2") == "1\\n2"
    say(EVIL, FORGED)
    say(EVIL, FORGED, err=True)
    print_table((EVIL, FORGED), [(FORGED, EVIL), (EVIL, FORGED)])
    with status_line() as tell:
        tell(EVIL + FORGED)
    print_json({EVIL: "\udcff"})
    said = capsys.readouterr()
    check(said.out)
    check(said.err)
    assert json.loads(said.out.splitlines()[-1]) == {EVIL: "\udcff"}


def test_the_live_view_and_logs_make_it_visible():
    shown = {"phase": FORGED, "curves": {EVIL: [1.0]}, "operations": {FORGED: 0.5}, "warnings": [EVIL]}
    picture = Picture(EVIL, Pace(1, 1), lambda rows: None, **shown)
    check(draw(picture, 200, 40).plain)
    record = logging.LogRecord("x", logging.WARNING, "x", 1, "%s", (EVIL,), None)
    check(Visible().format(record))


def test_every_command_about_runs_makes_it_visible(make_run, tmp_path, capsys):
    text = EVIL + FORGED
    warning = {"threshold": text, "metric": text, "since": 1, "message": text}
    metrics = {text: 1.0, f"a/{text}": 1.0}
    run = make_run(
        text.replace("/", "") + "\udcff",
        lines=[line(1, **metrics, warnings=[warning], timing={"seconds": 1, "phases": {text: 1}})],
        events=[],
        record={"created": text, "libraries": {text: text}, "machine": {text: text}},
        policy=text,
        train={text: text},
        components=[component("environment", text, **{text: text})],
    )
    for words in (["show", str(run.path)], ["show", str(run.path), "--json"], ["list"]):
        assert esper(["runs", *words, "--out", str(tmp_path)]) == 0, capsys.readouterr().err
        check(capsys.readouterr().out)
    (run.path / "metrics.jsonl").write_text("{\n")
    assert esper(["runs", "list", "--out", str(tmp_path)]) == 0
    check(capsys.readouterr().err)


@pytest.mark.parametrize(
    "words",
    [
        ["runs", "show", EVIL],
        ["runs", "show", FORGED, "--debug"],
        [EVIL],
        ["train", f"--{EVIL}"],
        ["train", "--envs", FORGED],
        ["--registry", EVIL, "plugins", "list"],
    ],
)
def test_errors_make_what_was_typed_visible(words, capsys):
    assert esper(words) == 2
    said = capsys.readouterr().err
    check(said)
    assert sum(text.startswith("Error: ") for text in said.splitlines()) == 1
