"""A page in a real browser: what it complains about, and how a page looks at a width."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here (Debian: apt install chromium)")

MEASURE = """
<script>
addEventListener("load", () => {
  const box = element => element.getBoundingClientRect();
  const all = selector => [...document.querySelectorAll(selector)];
  const beyond = all("body *").filter(e => !e.closest(".scroll") && box(e).width > 0 && box(e).right > innerWidth + 1);
  const large = (e, width, height) => box(e).width > width && box(e).height > height;
  parent.postMessage(JSON.stringify({
    width: innerWidth,
    page: document.documentElement.scrollWidth,
    beyond: beyond.map(e => e.className || e.tagName).slice(0, 5),
    smallest: Math.min(...all("svg text").map(e => 11 * box(e.ownerSVGElement).width / 380)),
    pictures: all("svg").filter(e => large(e, 200, 100)).length,
    bars: all(".board .bar, .intervals .reach").filter(e => large(e, 1, 5)).length,
    cells: all(".heat td").filter(e => large(e, 15, 15)).length,
    columns: new Set(all("#learning figure, #ratings figure").map(e => Math.round(box(e).left))).size,
  }), "*");
});
</script>
"""

FRAME = """<!doctype html><body style="margin:0">
<iframe src="{name}" width="{width}" height="900" style="border:0"></iframe>
<script>addEventListener("message", event => {{ document.title = "measured " + event.data; }});</script>
"""
"""A window cannot be as narrow as a telephone; a frame can."""


def browse(path: Path) -> subprocess.CompletedProcess[str]:
    """Open a file in a wide window; standard output is the page as the browser understood it."""
    flags = "--headless --no-sandbox --disable-gpu --hide-scrollbars --enable-logging=stderr --window-size=1400,900"
    profile = f"--user-data-dir={path.parent / 'profile'}"
    command = [str(CHROMIUM), *flags.split(), profile, "--dump-dom", path.resolve().as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)


def measure(page: Path, width: int) -> dict[str, Any]:
    """Return what a page looks like in a frame of a width; the page is changed so that it says so."""
    html = page.read_text()
    without = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", html)
    assert without != html
    page.write_text(without.replace("</body>", MEASURE + "</body>"))
    frame = page.with_name("frame.html")
    frame.write_text(FRAME.format(name=page.name, width=width))
    done = browse(frame)
    found = re.search(r"<title>measured (\{.*?\})</title>", done.stdout)
    assert found, done.stderr
    measured: dict[str, Any] = json.loads(found[1])
    assert measured["width"] == measured["page"] == width and measured["beyond"] == [], measured
    assert measured["smallest"] >= 9, "pixels of the smallest letters in pictures"
    assert measured["pictures"] == html.count("<svg")
    return measured
