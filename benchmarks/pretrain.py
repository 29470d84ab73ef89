"""Train the policy of plugins/pretrained and put it there, without what only learning needs.

    python benchmarks/pretrain.py                 # train, or go on with what was stopped, and pack
    python benchmarks/pretrain.py --pack RUN      # pack what a run has learned so far

It is the first of the `taught-slots` of docs/evidence.md; the run lies in runs/taught-slots. What is packed is a run
with one checkpoint: plan, seed, metrics, the weights and what gives them their meaning, each file with its digest;
TRAINED.json says what it was trained on and for how long, and the command. Only safetensors and JSON, under 2 MB. The
packed plan has the runtime that suits where it plays, because not every machine has a compiler.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from attrs import evolve

from esper_core.composition.plan import Plan
from esper_core.runs.checkpoint import choose_checkpoint, verify_checkpoint
from esper_core.runs.directory import METRICS_FILE, RUN_FILE, RunDirectory, list_runs
from esper_core.runs.header import CHECKPOINTS, STATE_FILE, content_digest
from esper_core.system.json_files import json_bytes

ROOT = Path(__file__).parents[1]
RECIPES = ROOT / "benchmarks" / "mixed.toml"
OUT = ROOT / "runs" / "taught-slots"
PACKED = ROOT / "plugins" / "pretrained" / "esper_pretrained" / "pretrained"
KEPT = ("policy.safetensors", "normaliser.safetensors")
MOST = 2_000_000
"""Bytes of what is packed, at most."""


def command(updates: int) -> list[str]:
    """Return the command that trains it."""
    words = "--policy taught-slots --slots 3 --seed 0 --envs 16 --workers 1 -o environment.runtime=engine"
    files = ["--registry", str(RECIPES.relative_to(ROOT)), "--out", str(OUT.relative_to(ROOT))]
    return ["esper", "train", *words.split(), *files, "--updates", str(updates), "--resume", "auto"]


def pack(run: RunDirectory, to: Path) -> dict[str, Any]:
    """Write the newest checkpoint of a run, without the optimiser, as a run of its own; return what is known of it."""
    header = verify_checkpoint(choose_checkpoint(run, "last"))
    # Nothing in a run depends on how many updates it was to have, so that these do the same.
    plan = with_any_runtime(evolve(header.plan, updates=header.update))
    metrics = run.metrics()[: header.update]
    if to.exists():
        shutil.rmtree(to)
    place = to / CHECKPOINTS / header.path.name
    place.mkdir(parents=True)
    content = {
        **header.content,
        "plan": plan.to_json(),
        "files": {name: header.content["files"][name] for name in KEPT},
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
        "command": f"OMP_NUM_THREADS=1 {shlex.join(command(plan.updates))}",
        "packed_with": "python benchmarks/pretrain.py",
        "digest": content["digest"],
    }
    (to / "TRAINED.json").write_bytes(json_bytes(trained, indent=1))
    size = sum(path.stat().st_size for path in to.rglob("*") if path.is_file())
    if size > MOST:
        raise SystemExit(f"{to} has {size:,} bytes, more than {MOST:,}.")
    trained["bytes"] = size
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
        esper = Path(sys.executable).with_name("esper")
        subprocess.run([esper, *command(said.updates)[1:]], cwd=ROOT, check=True)
        run = list_runs(OUT)[0][-1]
    else:
        run = RunDirectory.open(said.pack)
    trained = pack(run, said.to)
    print(f"{said.to}: {trained['bytes']:,} bytes, {trained['updates']} updates, digest {trained['digest'][:16]}")


if __name__ == "__main__":
    main()
