"""What each means against variance, and each good beginning, is worth alone: the options of docs/training.md.

    python benchmarks/effects.py [--figure effects.png]    # the table of the record that is kept
    python benchmarks/effects.py RUNS                      # trains what is missing in the folder RUNS
    python benchmarks/effects.py RUNS --read               # what is there; with --keep, the record

Each run is `esper train` of `lstm-v1` as in benchmarks/mixed.toml with one option changed, for 20,480 steps, and three
seeds. Capable hosts have 16 channels, so that an episode costs a third. A seed draws the same instances with and
without the option, unless the option changes which are drawn. So effects are differences seed by seed, with Student's
95 % interval, of the second halves of the runs. The teacher's rules are those that this command prints:

    fields="axes host_parameters train_samples"
    python benchmarks/best_rules.py --policy lstm-v1 --instances 192 -o host.capable_width=16 --fields $fields
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from curves import mean, part, png
from experiment import MIXED, Experiment, Run, over_seeds
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
FOUR = ("-o", "train.num_minibatches=4")
SHARP = (
    *("-o", "train.teacher_alone=6", "-o", "train.critic_alone=2", "-o", "train.teacher_updates=16"),
    *("-o", "train.teacher_softness=0.02", "-o", "loss.entropy=0.01"),
)
SETTINGS = {
    ALONE: SIXTEEN,
    WIDE: THIRTY_TWO,
    "privileged-critic": (*SIXTEEN, "-o", "critic.privileged=true"),
    "leave-one-out": (*THIRTY_TWO, "-o", "environment.repeats=4", "-o", "train.leave_one_out=true"),
    "teacher": (*SIXTEEN, "--use", "rule=by-kind", *TEACHER),
    "1024-instances": (*SIXTEEN, "-o", "environment.instances=1024"),
    "no-discount": (*SIXTEEN, "-o", "train.gamma=1"),
    "four-minibatches": (*SIXTEEN, *FOUR),
    "teacher-four-minibatches": (*SIXTEEN, *FOUR, "--use", "rule=by-kind", *SHARP),
    "instance-weights": (*SIXTEEN, "-o", 'environment.instance_weights=["mnist1d-shuffled=0.25"]'),
}
"""Name → what is changed."""
RULES = (
    "axes=1 host_parameters=340 train_samples=100: static",
    "axes=1 host_parameters=340 train_samples=400: periodic",
    "axes=1 host_parameters=794 train_samples=100: static",
    "axes=1 host_parameters=794 train_samples=400: all-on-heavy",
    "axes=1 host_parameters=2906 train_samples=100: static",
    "axes=1 host_parameters=2906 train_samples=400: static",
    "axes=2 host_parameters=794 train_samples=100: all-on-heavy",
    "axes=2 host_parameters=794 train_samples=400: all-on-heavy",
    "axes=2 host_parameters=808 train_samples=100: all-on-heavy",
    "axes=2 host_parameters=808 train_samples=400: static",
    "axes=2 host_parameters=13466 train_samples=100: all-on",
    "axes=2 host_parameters=13466 train_samples=400: static",
)
"""What the teacher does in each kind of world."""
BESIDE = {"leave-one-out": WIDE}
"""What a setting is compared with, where that is not the recipe."""
METRICS = {"return": "return", "explained variance": "explained_variance"}
EXPERIMENT = Experiment("effects", ("environment_steps", *METRICS.values()))


def run(setting: str, seed: int) -> Run:
    """Return the run of a setting."""
    taught = ["-o", f"rule.rules={json.dumps(RULES)}"] if "rule=by-kind" in SETTINGS[setting] else []
    return Run(setting, seed, [*PLAN, *SETTINGS[setting], *taught])


def values(of: Experiment, setting: str, metric: str) -> dict[int, float]:
    """Return the mean of a metric over the second half of the updates, by seed."""
    found = {seed: of.lines(run(setting, seed)) for seed in SEEDS}
    return {seed: mean(part(lines, 1, 2), metric) for seed, lines in found.items() if lines}


def effect(of: Experiment, setting: str, metric: str) -> Estimate | None:
    """Return how much more a setting has than what it is compared with."""
    own, other = (values(of, name, metric) for name in (setting, BESIDE.get(setting, ALONE)))
    return over_seeds([own[seed] - other[seed] for seed in own if seed in other])


def table(of: Experiment = EXPERIMENT) -> str:
    """Second halves of the runs: means over seeds, and the mean difference, with 95 % intervals."""
    rows = [["", "seeds", *(f"{said}{more}" for said in METRICS for more in ("", ", effect"))]]
    for setting in SETTINGS:
        if not (count := len(values(of, setting, "return"))):
            continue
        rows.append([f"`{setting}`", str(count)])
        for metric in METRICS.values():
            known = over_seeds([*values(of, setting, metric).values()])
            apart = None if setting == ALONE else effect(of, setting, metric)
            rows[-1] += [f"{known.value:.3f}" if known else "", between(apart, 3, signed=True) if apart else ""]
    return markdown(rows)


TABLES = {"effects": table}


def draw(of: Experiment, path: Path) -> None:
    """Draw the effects on return as a forest plot."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    found = [(name, known) for name in SETTINGS if name != ALONE and (known := effect(of, name, "return"))]
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
    parser.add_argument("--only", nargs="+", choices=SETTINGS, default=list(SETTINGS), help="what to train")
    parser.add_argument("--figure", type=png, help="write a forest plot")
    of, said = EXPERIMENT.chosen(parser)
    runs = [run(setting, seed) for seed in SEEDS for setting in SETTINGS if setting in said.only]
    of.prepare(said, runs)
    print(table(of))
    if said.keep:
        print(f"{of.keep(runs)}: kept")
    if said.figure:
        draw(of, said.figure)


if __name__ == "__main__":
    main()
