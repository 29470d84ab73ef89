"""Imports in a process of their own: what went wrong is said, however it ended."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from esper_testing.conformance.importing import _trouble_importing


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("print('loudly')", ""),
        ("import sys; sys.exit(0)", "SystemExit: 0"),
        ("raise ValueError('no width\\nin two lines')", "ValueError: no width\nin two lines"),
        ("import os; os._exit(0)", "the process ended with status 0"),
        ("import os; os.abort()", "the process ended with status -6"),
    ],
)
def test_what_went_wrong_with_an_import(tmp_path: Path, text: str, wrong: str) -> None:
    (tmp_path / "canary_import.py").write_text(text)
    assert _trouble_importing(("canary_import",), (str(tmp_path), *sys.path)) == wrong
