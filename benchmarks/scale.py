"""How much faster several ranks train one run, and whether the model of docs/scale.md says so.

    python benchmarks/scale.py                   # two ranks over one, 16 hosts, one worker each; about five minutes
    python benchmarks/scale.py --json            # {"two_over_one": …}
    python benchmarks/scale.py --model           # 1, 2, 4 and 8 ranks, measured and predicted
    python benchmarks/scale.py --model --delay 0.2   # as if every answer took 0.2 s longer to arrive
    python benchmarks/scale.py --chunks          # what acting in chunks of rows costs one process

Runs are `torchrun … esper train` of the plan below, in pairs that take turns, so that other load slows both; a ratio is
the median of those of the pairs. The first update of a run is left out: it trains static curves.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

HOSTS, EPOCHS = 16, 20
PLAN = (
    *("--policy", "lstm-v2", "--slots", "3", "--envs", str(HOSTS), "--epochs", str(EPOCHS), "--workers", "1"),
    *("--device", "cpu", "-o", "environment.instances=16"),
)
DELAY = "ESPER_SCALE_DELAY"
"""Seconds that every answer to rank 0 takes longer, for the ranks that this script starts."""


def train(ranks: int, updates: int, delay: float, cache: Path) -> list[dict[str, Any]]:
    """Train the plan with so many ranks; return the timing of every update but the first."""
    bin_ = Path(sys.executable).parent
    with tempfile.TemporaryDirectory() as folder:
        line = [str(bin_ / "torchrun"), "--standalone", "--nproc-per-node", str(ranks), __file__, "--rank"]
        words = ["train", *PLAN, "--updates", str(updates + 1), "--out", folder, "--plain", "--no-tensorboard"]
        told = {**os.environ, "OMP_NUM_THREADS": "1", "ESPER_CACHE": str(cache), DELAY: str(delay)}
        subprocess.run([*line, *words], check=True, env=told, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        (metrics,) = Path(folder).glob("*/metrics.jsonl")
        return [json.loads(text)["timing"] for text in metrics.read_text().splitlines()[1:]]


def rank(words: list[str]) -> None:
    """Be one rank: the command, with a slower link."""
    from esper_core.cli import app
    from esper_core.ranks.group import Ranks

    gather, delay = Ranks.gather, float(os.environ[DELAY])

    def slower(self: Ranks, own: Any) -> list[Any]:
        found = gather(self, own)
        time.sleep(delay * (self.count - 1))
        return found

    Ranks.gather = slower  # type: ignore[method-assign]
    app.main(words)


def seconds(timings: list[dict[str, Any]]) -> float:
    """Return what an update takes."""
    return median(timing["seconds"] for timing in timings)


def phase(timings: list[dict[str, Any]], *names: str) -> float:
    """Return what some phases of an update take."""
    return median(sum(timing["phases"].get(name, 0.0) for name in names) for timing in timings)


def two_over_one(pairs: int, updates: int, cache: Path) -> dict[str, Any]:
    """Return how many times the steps a second two ranks take, pair by pair."""
    ratios, rates = [], {1: [], 2: []}  # type: ignore[var-annotated]
    for pair in range(pairs):
        spent = {}
        for count in (1, 2) if pair % 2 == 0 else (2, 1):
            spent[count] = seconds(train(count, updates, 0.0, cache))
            rates[count].append(HOSTS * EPOCHS / spent[count])
        ratios.append(spent[1] / spent[2])
    found = {f"steps_per_second_{count}": round(median(values), 1) for count, values in rates.items()}
    return {"two_over_one": round(median(ratios), 3), "pairs": [round(ratio, 3) for ratio in ratios], **found}


def model(updates: int, delay: float, cache: Path, cores: int) -> list[dict[str, Any]]:
    """Return what an update takes with 1, 2, 4 and 8 ranks, and what one and two of them without delay predict.

    What a core is worth beside another, which share caches and power, follows from two ranks.
    """
    plain = {count: train(count, updates, 0.0, cache) for count in (1, 2)}
    learning, told = phase(plain[1], "update"), phase(plain[2], "broadcast")
    playing = seconds(plain[1]) - learning
    share = playing / (seconds(plain[2]) - phase(plain[2], "update") - told) / min(2, cores)
    rows = []
    for count in (1, 2, 4, 8):
        found = plain[count] if count in plain and not delay else train(count, updates, delay, cache)
        together = min(count, cores) * share if count > 1 else 1.0
        predicted = learning + playing / together + (told + delay * (count - 1) if count > 1 else 0.0)
        rows.append(
            {
                "ranks": count,
                "seconds": round(seconds(found), 2),
                "predicted": round(predicted, 2),
                "learning": round(phase(found, "update"), 2),
                "broadcast": round(phase(found, "broadcast"), 3),
                "gather": round(phase(found, "gather"), 2),
            }
        )
    return rows


def chunks(pairs: int) -> dict[str, Any]:
    """Return how much longer 256 environments of CartPole take when acting in chunks of rows, pair by pair."""
    import esper_core as esper
    from esper_core.api.installed import load_installed
    from esper_core.learning.session import open_session
    from esper_core.policy import policy

    options = {"train.update_epochs": 1, "train.rollout_steps": 64}
    plan = esper.plan("mlp", use={"environment": "gymnasium"}, envs=256, updates=2 * pairs + 1, options=options)
    trainer, usual, ratios = open_session(plan, load_installed()[0]), policy.ACT_ROWS, []
    spent: dict[bool, float] = {}
    for update in trainer.run(plan.updates):
        if update.index > 1:
            spent[update.index % 2 == 0] = (
                sum(list(update.timing["phases"].values())) - update.timing["phases"]["update"]
            )
            if update.index % 2:
                ratios.append(spent[True] / spent[False])
        policy.ACT_ROWS = usual if update.index % 2 else 2**31
    trainer.environment.close()
    return {"chunked_over_whole": round(median(ratios), 3), "rows": 256, "chunk": usual}


def main() -> None:
    """Measure what was asked for."""
    if sys.argv[1:2] == ["--rank"]:
        rank(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5, help="runs of each side")
    parser.add_argument("--updates", type=int, default=4, help="updates of a run")
    parser.add_argument("--model", action="store_true", help="1, 2, 4 and 8 ranks, measured and predicted")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds that every answer takes longer")
    parser.add_argument("--chunks", action="store_true", help="what acting in chunks costs")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        if asked.chunks:
            found: Any = chunks(asked.pairs)
        elif asked.model:
            found = model(asked.updates, asked.delay, Path(cache), len(os.sched_getaffinity(0)))
        else:
            found = two_over_one(asked.pairs, asked.updates, Path(cache))
    if asked.json:
        print(json.dumps(found))
        return
    for row in found if isinstance(found, list) else [found]:
        print("  ".join(f"{name} {value}" for name, value in row.items()))


if __name__ == "__main__":
    main()
