"""`esper train --observe`: observers of other people's distributions watch a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from esper_testing.distributions import FakeSite
from tests.cli.resuming import SMALL, lines_of

pytest_plugins = ["esper_testing.pytest"]

PLUGIN = """
from esper_core import ComponentSpec, hookimpl

@hookimpl
def esper_components():
    for name in ("diary", "grumpy"):
        yield ComponentSpec(kind="observer", name=name, factory=f"watchers.parts:{name.title()}", summary="it watches")
"""
PARTS = """
class Diary:
    def __init__(self, config, context):
        self.lines = []
    def on_start(self, run):
        self.path = run.path / "diary.txt"
    def on_update(self, update):
        self.lines.append(f"update {update.index}: {update.metrics['return']:.6f}")
    def on_finish(self, run):
        self.path.write_text("\\n".join(self.lines))
class Grumpy(Diary):
    def on_update(self, update):
        print("grumpy was here")
        raise RuntimeError("I have seen enough")
"""


@pytest.fixture(autouse=True)
def watchers(fake_site: FakeSite) -> None:
    modules = {"watchers.plugin": PLUGIN, "watchers.parts": PARTS}
    fake_site.install("acme-watchers", {"watchers": "watchers.plugin"}, modules=modules)


def test_observers_watch_and_a_failing_one_stops_nothing(train, capsys):
    small = ("--policy", "lstm-v1", "--slots", "2", "--updates", "2", *SMALL, "--json")
    assert train(*small, "--observe", "diary", "--observe", "grumpy") == 0
    printed = capsys.readouterr()
    path = Path(json.loads(printed.out)["run"])
    expected = [f"update {line['update']}: {line['return']:.6f}" for line in lines_of(path)]
    assert (path / "diary.txt").read_text().splitlines() == expected
    assert printed.err.count("I have seen enough") == 1
    assert "observer 'grumpy' (acme-watchers 1.0) failed and is off for the rest of this run" in printed.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-o", "observer.diary.color=red"), "'diary' does not watch it"),
        (("--observe", "diary", "-o", "observer.color=red"), "does not say which observer"),
        (("--observe", "diary", "-o", "observer.diary.color=red"), "There is no option 'observer.diary.color'"),
    ],
)
def test_an_option_of_no_observer_is_refused(train, capsys, arguments: tuple[str, ...], words: str):
    assert train("--policy", "lstm-v1", *arguments) == 2
    assert words in capsys.readouterr().err
