"""The page in a real browser: nothing to complain about, and readable on wide and narrow screens."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from esper_evaluation.report.page import write_report
from plugins.evaluation.tests.report.conftest import MakeRun, episode, seed

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here (Debian: apt install chromium)")

MEASURE = """
<script>
addEventListener("load", () => {
  const box = element => element.getBoundingClientRect();
  const beyond = [...document.querySelectorAll("body *")].filter(
    e => !e.closest(".scroll") && box(e).width > 0 && box(e).right > innerWidth + 1);
  const texts = [...document.querySelectorAll("svg text")].map(e => 11 * box(e.ownerSVGElement).width / 380);
  parent.postMessage(JSON.stringify({
    width: innerWidth,
    page: document.documentElement.scrollWidth,
    beyond: beyond.map(e => e.className || e.tagName).slice(0, 5),
    smallest: Math.min(...texts),
    pictures: [...document.querySelectorAll("svg")].filter(e => box(e).width > 200 && box(e).height > 100).length,
    bars: [...document.querySelectorAll(".board .bar")].filter(e => box(e).width > 1 && box(e).height > 5).length,
    columns: new Set([...document.querySelectorAll("#learning figure")].map(e => Math.round(box(e).left))).size,
  }), "*");
});
</script>
"""

FRAME = """<!doctype html><body style="margin:0">
<iframe src="report.html" width="{width}" height="900" style="border:0"></iframe>
<script>addEventListener("message", event => {{ document.title = "measured " + event.data; }});</script>
"""
"""A window cannot be as narrow as a telephone; a frame can."""


def browse(path: Path) -> subprocess.CompletedProcess[str]:
    """Open a file in a wide window; standard output is the page as the browser understood it."""
    flags = "--headless --no-sandbox --disable-gpu --hide-scrollbars --enable-logging=stderr --window-size=1400,900"
    profile = f"--user-data-dir={path.parent / 'profile'}"
    command = [str(CHROMIUM), *flags.split(), profile, "--dump-dom", path.resolve().as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def report(make_run: MakeRun, tmp_path: Path) -> Path:
    names = [f"a_rather_long_name_of_a_blueprint_{i}" for i in range(9)]
    life = ((0, "GERMINATED", 33), (2, "TRAINING", 33), (5, "FOSSILIZED", 33))
    events = [
        {"update": u, **event}
        for u in range(1, 31)
        for env in range(4)
        for event in (*seed(env, "r0c0", names[u % 9], *life), *seed(env, "r0c1", "norm", *life), episode(env))
    ]
    run = make_run(events=events, updates=30, envs=4)
    write_report(run, tmp_path / "report.html")
    return tmp_path / "report.html"


def test_the_browser_has_nothing_to_complain_about(report: Path) -> None:
    done = browse(report)
    assert "What grew" in done.stdout, done.stderr
    assert "CONSOLE" not in done.stderr, done.stderr


@pytest.mark.parametrize(("width", "columns"), [(1280, 3), (390, 1)])
def test_everything_can_be_read(report: Path, width: int, columns: int) -> None:
    html = report.read_text()
    without = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", html)
    assert without != html
    report.write_text(without.replace("</body>", MEASURE + "</body>"))
    frame = report.with_name("frame.html")
    frame.write_text(FRAME.format(width=width))
    done = browse(frame)
    found = re.search(r"<title>measured (\{.*?\})</title>", done.stdout)
    assert found, done.stderr
    measured = json.loads(found[1])
    assert measured["width"] == width and measured["page"] == width and measured["beyond"] == [], measured
    assert measured["smallest"] >= 9, "pixels of the smallest letters in pictures"
    assert measured["pictures"] == html.count("<svg") and measured["bars"] >= 4 * 4
    assert measured["columns"] == columns
