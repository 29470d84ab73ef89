"""Train the policy of plugins/pretrained and put it there, without what only learning needs.

    python benchmarks/pretrain.py                 # train, or go on with what was stopped, and pack
    python benchmarks/pretrain.py --pack RUN      # pack what a run has learned so far

It is the first of the `taught-slots` of docs/evidence.md; the run lies in runs/taught-slots. What is packed is a run
with one checkpoint: plan, seed, metrics, the weights and what gives them their meaning, each file with its digest;
TRAINED.json says what it was trained on and for how long, and the command, where this one makes such a plan. Only
safetensors and JSON, under 2 MB. The packed plan has the runtime that suits where it plays, because not every machine
has a compiler.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attrs import evolve

from esper_core.composition.plan import Plan
from esper_core.contracts.errors import EsperError
from esper_core.runs.checkpoint import choose_checkpoint, verify_checkpoint
from esper_core.runs.directory import METRICS_FILE, RUN_FILE, RunDirectory, list_runs
from esper_core.runs.header import CHECKPOINTS, STATE_FILE, Header, content_digest
from esper_core.system.json_files import json_bytes

ROOT = Path(__file__).parents[1]
RECIPES = ROOT / "benchmarks" / "mixed.toml"
OUT = ROOT / "runs" / "taught-slots"
PACKED = ROOT / "plugins" / "pretrained" / "esper_pretrained" / "pretrained"
KEPT = ("policy.safetensors", "normaliser.safetensors")
TRAINED = "TRAINED.json"
MOST = 2_000_000
"""Bytes of what is packed, at most."""


def command(updates: int) -> list[str]:
    """Return the command that trains it, from the root of the repository."""
    words = "--policy taught-slots --slots 3 --seed 0 --envs 16 --workers 1 -o environment.runtime=engine"
    files = ["--registry", str(RECIPES.relative_to(ROOT)), "--out", str(OUT.relative_to(ROOT))]
    return ["esper", "train", *words.split(), *files, "--updates", str(updates)]


def said_by(words: Sequence[str], *more: str, stdout: int | None = subprocess.PIPE) -> bytes:
    """Run a command with one thread, as it is published; return what it prints, where that is not shown."""
    esper, environment = Path(sys.executable).with_name("esper"), {**os.environ, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run([esper, *words[1:], *more], cwd=ROOT, env=environment, stdout=stdout)
    if ended.returncode:
        sys.exit(ended.returncode)
    return ended.stdout


def pack(run: RunDirectory, to: Path) -> dict[str, Any]:
    """Write the newest checkpoint of a run, without the optimiser, as a run of its own; return what is known of it.

    It takes the place of another that was packed, once it is whole. The program ends where something else lies there,
    where the run is not one of growth, and where it is too large.
    """
    if to.exists() and not (to / TRAINED).is_file():
        sys.exit(f"{to} is no packed run, so it is left as it is; --to names another place.")
    header = verify_checkpoint(choose_checkpoint(run, "last"))
    if header.plan.component("environment").name != "growth":
        sys.exit(f"{run.path} was not trained in the environment growth, so it is not packed.")
    to.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=to.parent) as folder:
        made = Path(folder) / to.name
        trained = write(run, header, made)
        size = sum(path.stat().st_size for path in made.rglob("*") if path.is_file())
        if size > MOST:
            sys.exit(f"{run.path} would have {size:,} bytes, more than {MOST:,}; it is not packed.")
        if to.exists():
            to.rename(Path(folder) / "before")
        made.rename(to)
    return {**trained, "bytes": size}


def write(run: RunDirectory, header: Header, to: Path) -> dict[str, Any]:
    """Write what is packed into a new folder."""
    # Nothing in a run depends on how many updates it was to have, so that these do the same.
    learned = evolve(header.plan, updates=header.update)
    plan = with_any_runtime(learned)
    metrics = run.metrics()[: header.update]
    place = to / CHECKPOINTS / header.path.name
    place.mkdir(parents=True)
    # Sources around what is distributed change, and it does not; run.json says which it was trained with.
    versions = {name: {"version": entry["version"]} for name, entry in header.content["distributions"].items()}
    content = {
        **header.content,
        "plan": plan.to_json(),
        "files": {name: header.content["files"][name] for name in KEPT},
        "distributions": versions,
    }
    content["digest"] = content_digest({key: value for key, value in content.items() if key != "digest"})
    for name in KEPT:
        shutil.copy(header.path / name, place / name)
    (place / STATE_FILE).write_bytes(json_bytes(content, indent=1))
    record = {key: value for key, value in run.record.items() if key not in ("git", "machine", "resumed")}
    (to / RUN_FILE).write_bytes(json_bytes({**record, "plan": plan.to_json()}, indent=1))
    lines = (run.path / METRICS_FILE).read_bytes().splitlines(keepends=True)[: header.update]
    (to / METRICS_FILE).write_bytes(b"".join(lines))
    quarter = max(1, len(metrics) // 4)
    trained = {
        "trained_on": {kind: plan.component(kind).name for kind in ("environment", "task", "host")},
        "slots": list(plan.slots),
        "seed": plan.seed,
        "updates": header.update,
        "episodes": header.update * plan.envs,
        "environment_steps": header.content["environment_steps"],
        "minutes": round(sum(line["timing"]["seconds"] for line in metrics) / 60, 1),
        "gain": [_mean(metrics[:quarter], "gain"), _mean(metrics[-quarter:], "gain")],
        "packed_with": "python benchmarks/pretrain.py",
        "digest": content["digest"],
    }
    own = command(plan.updates)
    if json.loads(said_by(own, "--dry-run", "--json")) == learned.to_json():
        trained["command"] = f"OMP_NUM_THREADS=1 {shlex.join(own)}"
    (to / TRAINED).write_bytes(json_bytes(trained, indent=1))
    return trained


def with_any_runtime(plan: Plan) -> Plan:
    """Return a plan whose environment takes the runtime that suits where it plays."""
    known = plan.component("environment")
    free = evolve(known, config={**known.config, "runtime": "auto"})
    return evolve(plan, components=tuple(free if part is known else part for part in plan.components))


def _mean(lines: list[dict[str, Any]], name: str) -> float:
    known = [line[name] for line in lines if line.get(name) is not None]
    return round(sum(known) / len(known), 4) if known else float("nan")


def main() -> None:
    """Train and pack, or pack alone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=48, help="updates of the run")
    parser.add_argument("--pack", type=Path, metavar="RUN", help="pack this run instead of training one")
    parser.add_argument(
        "--to", type=Path, default=PACKED, help="where the packed run is put, in place of what is there"
    )
    said = parser.parse_args()
    if said.pack is None:
        said_by(command(said.updates), "--resume", "auto", stdout=None)
        run = list_runs(OUT)[0][-1]
    else:
        run = RunDirectory.open(said.pack)
    trained = pack(run, said.to)
    print(f"{said.to}: {trained['bytes']:,} bytes, {trained['updates']} updates, digest {trained['digest'][:16]}")


if __name__ == "__main__":
    try:
        main()
    except EsperError as error:
        sys.exit(f"pretrain.py: {error}")
