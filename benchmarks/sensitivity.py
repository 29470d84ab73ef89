"""How much learning depends on entropy coefficient, step size and clip range, with 2, 3, 5 and 8 slots.

    python benchmarks/sensitivity.py                  # the tables of the record that is kept
    python benchmarks/sensitivity.py RUNS             # trains what is missing in the folder RUNS; prints the tables
    python benchmarks/sensitivity.py RUNS --read      # the tables of what is there; with --keep it becomes the record

Each run is `esper train` of `lstm-slots` as in benchmarks/mixed.toml, but on nothing but hosts that need to grow
(`pointwise` on 400 samples of `digits`, 16 instances), with one setting changed. What is compared is the return of the
second half of the updates; those of different numbers of slots are of different worlds, so a column is read downwards.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean

from curves import mean, part
from experiment import MIXED, Experiment, Run
from tables import markdown

from esper_core.learning.trainer import KL_STOP
from esper_factored_ppo.config import FactoredPpoConfig

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
    *("--registry", str(MIXED), "--policy", "lstm-slots", "--workers", "1"),
    *("--use", "task=digits", "--use", "host=pointwise", "-o", "environment.instances=16"),
    *("-o", "task.train_samples=400"),
    *("--epochs", "20", "--envs", "8", "--updates", "24"),
)
MEASURED = {
    "slot entropy, share of what is possible": "entropy/slot",
    "legal slots where one is chosen": "legal/slot",
    "KL of an update": "kl",
    "share of ratios clipped": "clip_fraction",
    "gradient norm": "grad_norm",
    "explained variance": "explained_variance",
}
STOPPED = KL_STOP * FactoredPpoConfig().target_kl
"""Where the KL exceeds this an update ends."""
EXPERIMENT = Experiment("sensitivity", ("return", *MEASURED.values()))
RUNS = [(setting, slots, seed) for seed in SEEDS for slots in SLOTS for setting in SETTINGS]


def run(setting: str, slots: int, seed: int) -> Run:
    """Return the run of a setting."""
    changed = ["-o", SETTINGS[setting]] if SETTINGS[setting] else []
    name = f"{list(SETTINGS).index(setting)}-{slots}"
    return Run(name, seed, [*PLAN, "--slots", str(slots), *changed], f"{setting}, {slots} slots")


def second_half(of: Experiment, setting: str, slots: int, metric: str) -> list[float]:
    """Return the mean of a metric over the second half of the updates, of each seed that is there."""
    found = (of.lines(run(setting, slots, seed)) for seed in SEEDS)
    return [mean(part(lines, 1, 2), metric) for lines in found if lines]


def cell(values: Sequence[float]) -> str:
    """Return a mean, and what it is of."""
    shown = f"{fmean(values):.3f} ({', '.join(f'{value:.3f}' for value in values)})" if values else ""
    return shown.replace("-", "\N{MINUS SIGN}")


def returns(of: Experiment = EXPERIMENT) -> str:
    """Return in the second half of the updates: the mean, and each seed's."""
    rows = [["", *(f"N = {n}" for n in SLOTS)]]
    rows += [[setting, *(cell(second_half(of, setting, n, "return")) for n in SLOTS)] for setting in SETTINGS]
    return markdown(rows)


def with_the_recipe(of: Experiment = EXPERIMENT) -> str:
    """What else there is to see with the recipe, in the same updates."""
    rows = [["", *(f"N = {n}" for n in SLOTS)]]
    for said, name in MEASURED.items():
        rows.append([said, *(cell(second_half(of, "the recipe", n, name)) for n in SLOTS)])
    return markdown(rows)


def ended_early(of: Experiment = EXPERIMENT) -> str:
    """Updates of the second half that ended early, because the policy had moved far enough; of all."""
    rows = [["", *(f"N = {n}" for n in SLOTS)]]
    for setting in SETTINGS:
        rows.append([setting])
        for n in SLOTS:
            kls = [line["kl"] for seed in SEEDS for line in part(of.lines(run(setting, n, seed)), 1, 2)]
            rows[-1].append(f"{sum(kl > STOPPED for kl in kls)} of {len(kls)}" if kls else "")
    return markdown(rows)


TABLES: Mapping[str, Callable[..., str]] = {
    "returns": returns,
    "ended-early": ended_early,
    "with-the-recipe": with_the_recipe,
}


def main() -> None:
    """Train, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    of, said = EXPERIMENT.chosen(parser)
    runs = [run(*words) for words in RUNS]
    of.prepare(said, runs)
    for table in TABLES.values():
        print(f"{table.__doc__}\n\n{table(of)}\n")
    if said.keep:
        print(f"{of.keep(runs)}: kept")


if __name__ == "__main__":
    main()
