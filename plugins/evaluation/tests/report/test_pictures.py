"""Pictures in a run: shown as they are, with what they say about themselves, and nothing else is shown as one."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest

from esper_core.contracts.errors import CheckpointMismatch, DamagedFile
from esper_evaluation.report.page import render
from esper_evaluation.report.pictures import LARGEST, MOST
from esper_evaluation.report.record import Record
from plugins.evaluation.tests.report.conftest import MakeRun


def png(words: str = "") -> bytes:
    text = b"Description\0" + words.encode("latin-1")
    return b"\x89PNG\r\n\x1a\n" + len(text).to_bytes(4) + b"tEXt" + text + b"crc_"


def put(run: Path, name: str, content: bytes) -> Path:
    (run / "pictures").mkdir(exist_ok=True)
    (run / "pictures" / name).write_bytes(content)
    return run / "pictures" / name


def test_pictures_of_a_run_are_shown_with_their_words(make_run: MakeRun) -> None:
    run = make_run()
    assert "<img" not in render(Record.read(run))
    put(run.path, "heat-map-deaths.png", png('Deaths "by" <place>.')), put(run.path, "notes.txt", b"no picture")
    html = render(Record.read(run))
    ((data, alt),) = re.findall(r'<img src="data:image/png;base64,([^"]+)" alt="([^"]+)">', html)
    assert base64.b64decode(data) == png('Deaths "by" <place>.') and alt == "Deaths &#34;by&#34; &lt;place&gt;."
    assert "Heat map deaths" in html and html.index("What grew") < html.index("<img") < html.index("Entropy of each")


def test_a_page_shows_a_few(make_run: MakeRun) -> None:
    run = make_run()
    for number in range(MOST + 2):
        put(run.path, f"{number:02}.png", png())
    html = render(Record.read(run))
    assert html.count("<img") == MOST and "2 more are in the folder." in html


@pytest.mark.parametrize("content", [b"<svg onload=alert(1)>", png() + bytes(LARGEST)])
def test_what_is_no_picture_is_refused(make_run: MakeRun, content: bytes) -> None:
    run = make_run()
    path = put(run.path, "a.png", content)
    with pytest.raises(DamagedFile, match=re.escape(f"{path} is no PNG")):
        render(Record.read(run))


def test_nothing_outside_the_run_is_shown(make_run: MakeRun, tmp_path: Path) -> None:
    run, other = make_run(), put(tmp_path, "secret.png", png())
    (run.path / "pictures").mkdir()
    (run.path / "pictures" / "a.png").symlink_to(other)
    with pytest.raises(CheckpointMismatch, match=r"a\.png cannot be read"):
        render(Record.read(run))
    (run.path / "pictures" / "a.png").unlink(), (run.path / "pictures").rmdir()
    (run.path / "pictures").symlink_to(other.parent)
    assert "<img" not in render(Record.read(run))
