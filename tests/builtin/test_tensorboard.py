"""The observer `tensorboard`: every number of a run is a curve, and nothing imports TensorBoard before a run starts."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from esper_core.builtin.config import TensorBoardConfig
from esper_core.builtin.tensorboard import FOLDER, TensorBoard
from esper_core.cli.app import run
from tests.cli.resuming import SMALL, lines_of


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_a_run_leaves_its_curves_unless_it_is_told_not_to(tmp_path, monkeypatch, capsys) -> None:
    pytest.importorskip("tensorboard")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ESPER_CACHE", str(tmp_path / "cache"))
    small = ["train", "--policy", "lstm-v1", "--slots", "2", "--updates", "2", *SMALL, "--json"]
    assert run(small) == 0
    folder = Path(json.loads(capsys.readouterr().out)["run"])
    lines = lines_of(folder)
    found = curves(folder / FOLDER)
    assert found["run/return"] == [(line["update"], pytest.approx(line["return"])) for line in lines]
    known = {name for line in lines for name, value in line.items() if isinstance(value, float)}
    assert {tag.removeprefix("run/") for tag in found if not tag.startswith("timing/")} == known

    assert run([*small, "--no-tensorboard", "--observe", "tensorboard"]) == 2
    for name in ("tensorboard", "torch.utils.tensorboard"):
        monkeypatch.setitem(sys.modules, name, None)
    capsys.readouterr()
    assert run(small) == 0, "without the package nothing watches"
    printed = capsys.readouterr()
    assert not (Path(json.loads(printed.out)["run"]) / FOLDER).exists() and "warning" not in printed.err
    assert run([*small, "--observe", "tensorboard"]) == 2, "and asking for it names the line that helps"
    assert capsys.readouterr().err.splitlines()[-1] == 'pip install "tensorboard>=2.15"'


def test_what_a_resumed_run_does_anew_hides_what_it_did_before(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")

    def write(done: list[int], doing: list[int], value: float) -> None:
        observer = TensorBoard(TensorBoardConfig())
        watched: Any = SimpleNamespace(path=tmp_path, metrics=lambda: [{"update": index} for index in done])
        observer.on_start(watched)
        for index in doing:
            observer.on_update(SimpleNamespace(index=index, metrics={"return": value}, timing={}))  # type: ignore[arg-type]
        observer.on_finish(watched)

    write([], [1, 2, 3], 0.0)
    write([1, 2], [3, 4], 1.0)
    assert curves(tmp_path / FOLDER)["run/return"] == [(1, 0.0), (2, 0.0), (3, 1.0), (4, 1.0)]
