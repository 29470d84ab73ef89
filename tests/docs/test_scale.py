"""The lines of docs/scale.md that share an evaluation out among machines: they run, and bring what one process does."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.resuming import SMALL
from tests.command import Esper, environment

PAGE = (Path(__file__).parents[2] / "docs" / "scale.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```bash\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
(XARGS,) = (block.strip() for block in BLOCKS if "| xargs" in block)
(SLURM,) = (block for block in BLOCKS if block.startswith("#!/bin/bash"))
SHARDS = re.findall(r"--array=1-(\d+)\n", SLURM)[0]


def test_the_script_for_slurm_is_one(tmp_path: Path) -> None:
    (tmp_path / "evaluate.sh").write_text(SLURM)
    subprocess.run(["bash", "-n", tmp_path / "evaluate.sh"], check=True)
    assert f"SHARDS={SHARDS} " in SLURM, "array and shards are as many"


@pytest.mark.slow
def test_shards_of_xargs_and_of_slurm_are_what_one_process_plays(tmp_path: Path, shared: Path, process: Esper) -> None:
    small = ("--policy", "lstm-v1", "--slots", "2", "--updates", "2", *SMALL)
    assert process("train", *small).returncode == 0
    (trained,) = (tmp_path / "runs").iterdir()
    run = trained.rename(trained.with_name("run"))
    arguments = "runs/run --instances 4 --search-episodes 4 --arms static,policy,random-matched,best-fixed"
    expected = process("evaluate", *arguments.split(), "--json")
    assert expected.returncode == 0, expected.stderr
    played = run / "evaluation"
    before = played.rename(tmp_path / "before")

    def shell(line: str, **variables: str) -> str:
        here = environment(shared, PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
        done = subprocess.run(
            ["bash", "-c", line], cwd=tmp_path, env={**here, **variables}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def check(document: str) -> None:
        assert json.loads(document) == json.loads(expected.stdout)
        (records,) = (path for path in played.iterdir() if path.name != "shards")
        for file in (before / records.name).iterdir():
            assert (records / file.name).read_bytes() == file.read_bytes(), file.name
        shutil.rmtree(played)

    # Two shards, where the page has more: every process takes seconds to start.
    few = XARGS.replace("RUN --instances 400", arguments).replace(f"seq {SHARDS}", "seq 2").replace(f"/{SHARDS}", "/2")
    check(shell(f"{few} --json").splitlines()[-1])

    (tmp_path / "evaluate.sh").write_text(SLURM.replace(f"SHARDS={SHARDS}", "SHARDS=2"))
    for task in ("1", "2"):
        shell(f"bash evaluate.sh {arguments}", SLURM_ARRAY_TASK_ID=task)
    check(shell(f"esper evaluate {arguments} --merge --json"))
