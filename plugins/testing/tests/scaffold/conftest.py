"""The command where torch and its like cannot be imported."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.command import Esper


@pytest.fixture
def esper(process: Esper, without_torch: Path) -> Esper:
    return partial(process, path=without_torch)
