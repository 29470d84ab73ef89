"""docs/reliability.md names tests that exist, and says of flags and files what the code says."""

from __future__ import annotations

import pathlib
import re

from esper_core.cli.stopping import GRACE_SECONDS
from esper_core.cli.train import BESIDE_RESUME
from esper_core.learning.guard import SKIPS_IN_A_ROW
from esper_core.runs.checkpoint import KEEP_LAST

ROOT = pathlib.Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
WORDS = " ".join(PAGE.split())


def test_every_fault_has_a_promise_and_a_test_that_exists() -> None:
    table = PAGE.split("| fault | promise | test |\n")[1].split("\n\n")[0].splitlines()[1:]
    files = [*ROOT.glob("tests/**/test_*.py"), *ROOT.glob("plugins/*/tests/**/test_*.py")]
    sources = "\n".join(path.read_text(encoding="utf-8") for path in files)
    assert len(table) >= 10
    for row in table:
        _, promise, tests = (cell.strip() for cell in row.strip("|").split(" | "))
        named = re.findall(r"`(test_\w+)`", tests)
        assert promise and named, row
        assert [name for name in named if f"def {name}(" not in sources] == []


def test_it_lists_the_flags_that_may_stand_beside_resume() -> None:
    (listed,) = re.findall(r"Allowed beside `--resume`: (.*?), and options", WORDS)
    flags = {"as_json" if flag == "json" else flag.replace("-", "_") for flag in re.findall(r"`--([a-z-]+)`", listed)}
    assert flags == set(BESIDE_RESUME) - {"resume"}


def test_its_numbers_are_the_codes() -> None:
    assert f"after {GRACE_SECONDS} seconds" in WORDS
    assert (KEEP_LAST, SKIPS_IN_A_ROW) == (3, 3)
    assert "The last three and the one" in WORDS and "**three in a row**" in WORDS
