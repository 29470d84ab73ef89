"""The core knows no environment's words."""

from __future__ import annotations

import re
from pathlib import Path

import esper_core

OF_GROWTH = re.compile(r"growth|\bhosts?\b|blueprint|fossil|static_accuracy|committed", re.IGNORECASE)


def test_no_word_of_growth_stands_in_the_core() -> None:
    (root,) = esper_core.__path__
    lines = [
        f"{path.relative_to(root)}:{number}: {line.strip()}"
        for path in sorted(Path(root).rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if OF_GROWTH.search(line)
    ]
    assert lines == []
