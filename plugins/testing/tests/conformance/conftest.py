"""What checks are tried on: what is installed, and canaries, which are wrong in one way each."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from esper_core.registry.index import Index
from esper_core.registry.loading import load_index

CANARIES = Path(__file__).parent / "canaries"
"""A folder of distributions, as an installer would leave them."""


@pytest.fixture(scope="module")
def canaries() -> Iterator[Index]:
    sys.path.insert(0, str(CANARIES))
    index = load_index()
    assert not index.failures
    yield index
    sys.path.remove(str(CANARIES))


@pytest.fixture(scope="module")
def installed() -> Index:
    return load_index()
