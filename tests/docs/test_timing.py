"""What docs/results.md says of timing follows from what is kept."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("world", ["drift", "budget"])
def test_the_tables_of_timing_are_those_of_the_kept_numbers(world: str) -> None:
    command = [sys.executable, "benchmarks/timing.py", "--read", f"benchmarks/timing-{world}.json.xz"]
    said = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert said.strip() in (ROOT / "docs/results.md").read_text()
