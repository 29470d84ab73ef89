"""What everybody may expect of components of these kinds."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["environment", "masks"])
def test_it_passes_every_check_of_its_kind(conforms: Callable[[str], None], kind: str) -> None:
    conforms(f"{kind}/echelon")
