"""How much learning depends on entropy coefficient, step size and clip range, with 2, 3, 5 and 8 slots.

    python benchmarks/sensitivity.py RUNS             # trains what is missing in the folder RUNS; prints the tables
    python benchmarks/sensitivity.py RUNS --read      # the tables of what is there

Each run is `esper train` of `lstm-slots` as in benchmarks/mixed.toml, but on hosts that need to grow alone (`pointwise`
on `digits`), with one setting changed. What is compared is the return of the second half of the updates; those of
different numbers of slots are of different worlds, so a column is read downwards.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from math import log
from pathlib import Path
from statistics import fmean

from curves import mean, part
from tables import markdown

from esper_core.runs.directory import RunDirectory

SLOTS = (2, 3, 5, 8)
SEEDS = (0, 1)
SETTINGS = {
    "the recipe": "",
    "entropy × ⅓": "loss.entropy=0.01",
    "entropy × 3": "loss.entropy=0.09",
    "step size × ⅓": "train.lr=0.00033",
    "step size × 3": "train.lr=0.003",
    "clip range × ½": "loss.clip=0.1",
    "clip range × 2": "loss.clip=0.4",
}
PLAN = (
    *("--registry", str(Path(__file__).with_name("mixed.toml")), "--policy", "lstm-slots"),
    *("--use", "task=digits", "--use", "host=pointwise", "-o", "environment.instances=16"),
    *("--epochs", "20", "--envs", "8", "--updates", "24", "--workers", "1"),
)
MEASURED = {
    "slot entropy, share of what is possible": "entropy/slot",
    "legal slots where one is chosen": "legal/slot",
    "KL of an update": "kl",
    "share of ratios clipped": "clip_fraction",
    "gradient norm": "grad_norm",
    "explained variance": "explained_variance",
}


def folder(runs: Path, setting: str, slots: int, seed: int) -> Path:
    """Return where the run of a setting lies."""
    return runs / f"{list(SETTINGS).index(setting)}-{slots}-{seed}"


def train(runs: Path) -> None:
    """Train what is missing; what was begun goes on."""
    esper = str(Path(sys.executable).with_name("esper"))
    for seed in SEEDS:
        for slots in SLOTS:
            for setting, option in SETTINGS.items():
                changed = ["-o", option] if option else []
                where = ["--out", str(folder(runs, setting, slots, seed)), "--resume", "auto"]
                own = ["--slots", str(slots), "--seed", str(seed), *changed, *where, "--no-tensorboard", "--plain"]
                print(f"{slots} slots, {setting}, seed {seed}", file=sys.stderr)
                subprocess.run([esper, "train", *PLAN, *own], check=True, stdout=subprocess.DEVNULL)


def second_half(runs: Path, setting: str, slots: int) -> list[list[dict[str, float]]]:
    """Return the metrics of the second half of a setting's updates, a list per seed that is there."""
    paths = [path for seed in SEEDS for path in sorted(folder(runs, setting, slots, seed).glob("*/"))]
    return [part(list(RunDirectory.open(path).metrics()), 1, 2) for path in paths]


def cell(values: Sequence[float]) -> str:
    """Return a mean and, of several, the range."""
    return f"{fmean(values):.3f} ({', '.join(f'{value:.3f}' for value in values)})" if values else ""


def main() -> None:
    """Train, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, help="folder of the runs")
    parser.add_argument("--read", action="store_true", help="train nothing")
    chosen = parser.parse_args()
    if not chosen.read:
        train(chosen.runs)
    found = {(setting, n): second_half(chosen.runs, setting, n) for setting in SETTINGS for n in SLOTS}
    if not any(found.values()):
        sys.exit(f"sensitivity.py: there is no run in {chosen.runs}; without --read they are trained.")
    header = [f"N = {n}" for n in SLOTS]
    print("Return in the second half of the updates: the mean, and each seed's.\n")
    returns = [
        [setting, *(cell([mean(lines, "return") for lines in found[setting, n]]) for n in SLOTS)]
        for setting in SETTINGS
    ]
    print(markdown([["", *header], *returns]))
    print("\nWith the recipe, in the same updates:\n")
    known = [["ln N, the largest slot entropy", *(f"{log(n):.2f}" for n in SLOTS)]]
    for said, name in MEASURED.items():
        known.append([said, *(cell([mean(lines, name) for lines in found["the recipe", n]]) for n in SLOTS)])
    print(markdown([["", *header], *known]))


if __name__ == "__main__":
    main()
