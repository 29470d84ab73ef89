"""What each means against variance, and each good beginning, is worth alone: the options of docs/training.md.

    python benchmarks/effects.py RUNS --rules '["axes=1 host_parameters=…: all-on", …]'   # trains what is missing
    python benchmarks/effects.py RUNS --read [--figure effects.png]                       # the table of what is there

Each run is `esper train` of `lstm-v1` as in benchmarks/mixed.toml with one option changed, for 20,480 steps, and three
seeds. Capable hosts have 16 channels, so that an episode costs a third. A seed draws the same instances with and
without the option, unless the option changes which are drawn. So effects are differences seed by seed, with Student's
95 % interval, of the second halves of the runs. Rules for `--rules` are those that benchmarks/best_rules.py prints.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from curves import mean, part
from experiment import MIXED, Run, over_seeds, train
from tables import between, markdown

from esper_evaluation.statistics import Estimate

SEEDS = (0, 1, 2)
PLAN = (
    *("--registry", str(MIXED), "--policy", "lstm-v1", "--slots", "3", "--workers", "1"),
    *("-o", "host.capable_width=16"),
)
SIXTEEN, THIRTY_TWO = ("--envs", "16", "--updates", "32"), ("--envs", "32", "--updates", "16")
ALONE = "recipe"
WIDE = "recipe-32"
TEACHER = ("-o", "train.teacher_alone=5", "-o", "train.critic_alone=2", "-o", "train.teacher_softness=0.1")
SETTINGS = {
    ALONE: SIXTEEN,
    WIDE: THIRTY_TWO,
    "privileged-critic": (*SIXTEEN, "-o", "critic.privileged=true"),
    "leave-one-out": (*THIRTY_TWO, "-o", "environment.repeats=4", "-o", "train.leave_one_out=true"),
    "teacher": (*SIXTEEN, "--use", "rule=by-kind", *TEACHER),
    "1024-instances": (*SIXTEEN, "-o", "environment.instances=1024"),
    "no-discount": (*SIXTEEN, "-o", "train.gamma=1"),
    "instance-weights": (*SIXTEEN, "-o", 'environment.instance_weights=["mnist1d-shuffled=0.25"]'),
}
"""Name → what is changed."""
BESIDE = {"leave-one-out": WIDE}
"""What a setting is compared with, where that is not the recipe."""
METRICS = {"return": "return", "explained variance": "explained_variance"}


def run(setting: str, seed: int, rules: str = "[]") -> Run:
    """Return the run of a setting."""
    taught = ["-o", f"rule.rules={rules}"] if setting == "teacher" else []
    return Run(setting, seed, [*PLAN, *SETTINGS[setting], *taught])


def values(runs: Path, setting: str, metric: str) -> dict[int, float]:
    """Return the mean of a metric over the second half of the updates, by seed."""
    found = {seed: run(setting, seed).metrics(runs) for seed in SEEDS}
    return {seed: mean(part(lines, 1, 2), metric) for seed, lines in found.items() if lines}


def effect(runs: Path, setting: str, metric: str) -> Estimate | None:
    """Return how much more a setting has than what it is compared with."""
    own, other = (values(runs, name, metric) for name in (setting, BESIDE.get(setting, ALONE)))
    return over_seeds([own[seed] - other[seed] for seed in own if seed in other])


def draw(runs: Path, path: Path) -> None:
    """Draw the effects on return as a forest plot."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    found = [(name, known) for name in SETTINGS if name != ALONE and (known := effect(runs, name, "return"))]
    figure, axes = pyplot.subplots(figsize=(7, 0.5 * len(found) + 1), layout="constrained")
    for row, (_, known) in enumerate(reversed(found)):
        axes.plot([known.low, known.high], [row, row], color="#4c6ef5")
        axes.plot(known.value, row, "o", color="#4c6ef5")
    axes.axvline(0, color="#868e96", linewidth=1)
    axes.set_yticks(range(len(found)), [name for name, _ in reversed(found)])
    axes.set_xlabel("return in the second half, minus that of the recipe")
    figure.savefig(path, dpi=150)


def main() -> None:
    """Train, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, help="folder of the runs")
    parser.add_argument("--rules", help="the best rule of each kind of world, for the teacher")
    parser.add_argument("--only", nargs="+", choices=SETTINGS, default=list(SETTINGS), help="what to train")
    parser.add_argument("--read", action="store_true", help="train nothing")
    parser.add_argument("--figure", type=Path, help="write a forest plot")
    chosen = parser.parse_args()
    if not chosen.read:
        if chosen.rules is None and "teacher" in chosen.only:
            sys.exit("effects.py: the teacher needs --rules, which benchmarks/best_rules.py prints.")
        train(chosen.runs, (run(setting, seed, chosen.rules) for seed in SEEDS for setting in chosen.only))
    if not any(values(chosen.runs, setting, "return") for setting in SETTINGS):
        sys.exit(f"effects.py: there is no run in {chosen.runs}; without --read they are trained.")
    rows = [["", "seeds", *(f"{said}{more}" for said in METRICS for more in ("", ", effect"))]]
    for setting in SETTINGS:
        count = len(values(chosen.runs, setting, "return"))
        rows.append([setting, str(count)])
        for metric in METRICS.values():
            known, apart = over_seeds([*values(chosen.runs, setting, metric).values()]), None
            if setting != ALONE:
                apart = effect(chosen.runs, setting, metric)
            rows[-1] += [f"{known.value:.3f}" if known else "", between(apart, 3, signed=True) if apart else ""]
    print(markdown(rows))
    if chosen.figure:
        draw(chosen.runs, chosen.figure)


if __name__ == "__main__":
    main()
