"""How much memory is left, and what is said about what does not fit."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from esper_core.contracts.errors import ConfigError
from esper_core.contracts.foreign import exhausted
from esper_core.system import memory
from esper_core.system.memory import check_memory, memory_left


def group(folder: Path, limit: str, used: str, stat: str) -> tuple[str, str, str, str]:
    for name, text in (("max", limit), ("current", used), ("stat", stat)):
        (folder / name).write_text(text)
    return (str(folder), "max", "current", "stat")


@pytest.mark.parametrize(
    ("limit", "used", "stat", "left"),
    [
        ("1000000", "600000", "anon 5\ninactive_file 100000\n", 500000),
        ("1000000", "600000", "", 400000),
        ("max", "600000", "", None),
    ],
)
def test_a_container_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, used: str, stat: str, left: int | None
) -> None:
    monkeypatch.setattr(memory, "_CGROUPS", (group(tmp_path, limit, used, stat),))
    monkeypatch.setattr(memory, "_of_the_machine", lambda: None)
    assert memory_left() == left


def test_what_does_not_fit_is_refused_with_both_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "memory_left", lambda device: 3 * 2**30)
    check_memory(2**30, "Three things", "Lower it.")
    with pytest.raises(ConfigError, match=r"Three things need 4 GiB of memory; 3 GiB are left on cpu\.") as caught:
        check_memory(2**32, "Three things", "Lower it.")
    assert caught.value.hint == "Lower it."
    with pytest.raises(ConfigError, match="need more than 1024 TiB"):
        check_memory(math.inf, "Three things", "Lower it.")
    monkeypatch.setattr(memory, "memory_left", lambda device: None)
    check_memory(math.inf, "Three things", "Lower it.")


@pytest.mark.parametrize("size", [(2**60,), (2**40, 2**40)])
def test_what_torch_says_about_memory_is_understood(size: tuple[int, ...]) -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(size)
    found = exhausted(caught.value)
    assert found is not None and "not enough memory" in found.message and "--envs" in found.hint
    assert "not enough memory" in str(exhausted(MemoryError()))
    assert "A number is too large" in str(exhausted(OverflowError("int too large to convert to float")))
    assert exhausted(RuntimeError("shapes do not fit")) is exhausted(ValueError("out of memory")) is None
