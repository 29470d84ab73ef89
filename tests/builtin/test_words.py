"""The core knows no environment's words."""

from __future__ import annotations

import re
from pathlib import Path

import esper_core

OF_GROWTH = re.compile(r"growth|\bhosts?\b|blueprint|fossil|static_accuracy|committed", re.IGNORECASE)


def test_no_word_of_growth_stands_in_the_core() -> None:
    (root,) = esper_core.__path__
    files = Path(root).rglob("*.py")
    lines = [(path, line) for path in files for line in path.read_text(encoding="utf-8").splitlines()]
    assert [(path, line) for path, line in lines if OF_GROWTH.search(line)] == []
