"""What means against variance, and good beginnings, are worth: the options of docs/training.md.

    python benchmarks/effects.py [--figure effects.png]    # the table of the record that is kept
    python benchmarks/effects.py RUNS                      # trains and plays what is missing in the folder RUNS
    python benchmarks/effects.py RUNS --read               # what is there; with --keep, the record

Each run is `esper train` of `lstm-v1` as in benchmarks/mixed.toml with what is named changed, for 20,480 steps, and
three seeds. Capable hosts have 16 channels, so that an episode costs a third. Return and explained variance are of the
second halves of the runs, their effects differences seed by seed with Student's 95 % interval. A seed draws the same
instances with and without most options; where it draws others, an effect could not be told from theirs. Test accuracy
is that of the trained policies on 32 held-out instances, the same for all, its effect the mean of paired differences as
in `esper evaluate --primary paired-mean`. The teacher's rules are those that this command prints:

    fields="axes host_parameters train_samples"
    python benchmarks/best_rules.py --policy lstm-v1 --instances 192 -o host.capable_width=16 --fields $fields
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from curves import mean, part, png
from experiment import MIXED, Experiment, Run, over_seeds
from record import Record, Side, is_kept, keep, measured, paired, read
from tables import between, markdown, minus

from esper_core.contracts.errors import EsperError
from esper_core.runs.checkpoint import choose_checkpoint
from esper_core.runs.directory import RunDirectory
from esper_core.runs.header import read_header
from esper_core.system.json_files import read_json
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
OTHER_WORLDS = (WIDE, "leave-one-out", "1024-instances", "instance-weights")
"""Settings that draw other instances in training than what they are compared with."""
HELD_OUT = ("--arms", "policy", "--fresh", "60000", "--instances", "32", "--again", "--json")
ACCURACY = "test accuracy"
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
    """Return how much more a setting has than what it is compared with; None where it draws other instances."""
    if setting == ALONE or setting in OTHER_WORLDS:
        return None
    own, other = (values(of, name, metric) for name in (setting, BESIDE.get(setting, ALONE)))
    return over_seeds([own[seed] - other[seed] for seed in own if seed in other])


def held_out(of: Experiment, setting: str) -> Record | None:
    """Return what the policies of a setting have done on held-out instances; None where these have not played."""
    if of.folder is None:
        return read(name_of(setting)) if is_kept(name_of(setting)) else None
    path, runs = of.folder / f"{setting}.json", trained(of, setting)
    if runs is None or not path.is_file():
        return None
    document = read_json(path)
    if not Path(document["records"]).is_dir():
        return None
    found = measured(document)
    # A run that was removed and trained anew is another policy.
    last = [str(read_header(choose_checkpoint(run, "last")).content["digest"]) for run in runs]
    return found if all(map(str.startswith, last, found.policies.values())) else None


def trained(of: Experiment, setting: str) -> list[RunDirectory] | None:
    """Return the runs of a setting, one for each seed; None where one is missing."""
    found = [opened for seed in SEEDS if (opened := of.opened(run(setting, seed)))]
    return found if len(found) == len(SEEDS) else None


def name_of(setting: str) -> str:
    """Return what the record of a setting's evaluation is called."""
    return f"effects-{setting}"


def names() -> set[str]:
    """Return the names of the records of evaluations that are kept."""
    return set(filter(is_kept, map(name_of, SETTINGS)))


def effect_held_out(of: Experiment, setting: str) -> Estimate | None:
    """Return how much more accurate the policies of a setting are than what they are compared with."""
    if setting == ALONE:
        return None
    sides = []
    for name in (setting, BESIDE.get(setting, ALONE)):
        found = held_out(of, name)
        if found is None:
            return None
        if [*found.policies] != [str(seed) for seed in SEEDS]:
            raise ValueError(f"{name} has played with the seeds {', '.join(found.policies)}, and not with {SEEDS}")
        sides.append(Side(name, found))
    return paired(*sides).estimate


def play(of: Experiment, settings: Iterable[str]) -> None:
    """Let policies play held-out instances, where all seeds are trained and they have not."""
    assert of.folder is not None, "a record is only read"
    for setting in settings:
        runs = trained(of, setting)
        if runs is None or held_out(of, setting) is not None:
            continue
        print(f"{setting}, held out", file=sys.stderr, flush=True)
        esper = str(Path(sys.executable).with_name("esper"))
        words = [esper, "evaluate", *(str(run.path) for run in runs), *HELD_OUT]
        ended = subprocess.run(words, stdout=subprocess.PIPE)
        if ended.returncode:
            sys.exit(ended.returncode)
        (of.folder / f"{setting}.json").write_bytes(ended.stdout)


def table(of: Experiment = EXPERIMENT) -> str:
    """Means over seeds, and the mean difference, with 95 % intervals."""
    rows = [["", "seeds", *(f"{said}{more}" for said in (*METRICS, ACCURACY) for more in ("", ", effect"))]]
    for setting in SETTINGS:
        if not (count := len(values(of, setting, "return"))):
            continue
        rows.append([f"`{setting}`", str(count)])
        unknown = "other worlds" if setting in OTHER_WORLDS else ""
        for metric in METRICS.values():
            known, apart = over_seeds([*values(of, setting, metric).values()]), effect(of, setting, metric)
            rows[-1].append(minus(f"{known.value:.3f}") if known else "")
            rows[-1].append(between(apart, 3, signed=True) if apart else unknown)
        played, apart = held_out(of, setting), effect_held_out(of, setting)
        rows[-1] += [f"{Side(setting, played).reached().mean():.3f}" if played else ""]
        rows[-1] += [between(apart, 3, signed=True) if apart else ""]
    return markdown(rows)


def changes() -> str:
    """What each setting changes; the rules of the teacher aside."""
    rows = [["", "changed", "compared with"]]
    for setting, words in SETTINGS.items():
        changed = ", ".join(f"`{key} {value}`" if key != "-o" else f"`{value}`" for key, value in pairs(words))
        rows.append([f"`{setting}`", changed, "" if setting == ALONE else f"`{BESIDE.get(setting, ALONE)}`"])
    return markdown(rows)


def pairs(words: Sequence[str]) -> Iterable[tuple[str, str]]:
    """Return options with their values."""
    return zip(words[::2], words[1::2], strict=True)


TABLES = {"effects": table, "changes": changes}


def draw(of: Experiment, path: Path) -> None:
    """Draw the effects on return and on test accuracy as forest plots."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    names = [name for name in reversed(SETTINGS) if name != ALONE]
    figure, both = pyplot.subplots(1, 2, figsize=(9, 0.4 * len(names) + 1), sharey=True, layout="constrained")
    for axes, title in zip(both, ("return in training", f"{ACCURACY}, held out"), strict=True):
        for row, name in enumerate(names):
            known = effect(of, name, "return") if axes is both[0] else effect_held_out(of, name)
            if known is not None:
                axes.plot([known.low, known.high], [row, row], color="#4c6ef5")
                axes.plot(known.value, row, "o", color="#4c6ef5")
        axes.axvline(0, color="#868e96", linewidth=1)
        axes.set_yticks(range(len(names)), [f"{name} − {BESIDE.get(name, ALONE)}" for name in names])
        axes.set_xlabel(f"difference in {title}")
    figure.savefig(path, dpi=150)


def main() -> None:
    """Train, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SETTINGS, default=list(SETTINGS), help="what to train")
    parser.add_argument("--figure", type=png, help="write a forest plot")
    of, said = EXPERIMENT.chosen(parser)
    runs = [run(setting, seed) for seed in SEEDS for setting in SETTINGS if setting in said.only]
    of.prepare(said, runs)
    if of.folder is not None and not said.read:
        play(of, said.only)
    print(table(of))
    if said.keep:
        kept = {setting: held_out(of, setting) for setting in SETTINGS}
        if lost := [setting for setting, found in kept.items() if found is None]:
            sys.exit(f"{', '.join(lost)} has not played, so nothing is kept; without --read it does.")
        print(f"{of.keep(runs)}: kept")
        for setting, found in kept.items():
            print(f"{keep(found, name_of(setting))}: kept")
    if said.figure:
        draw(of, said.figure)


if __name__ == "__main__":
    try:
        main()
    except (EsperError, OSError, ValueError) as error:
        sys.exit(f"effects.py: {error}")
