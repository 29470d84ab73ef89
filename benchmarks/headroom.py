"""What is there to win? By kind of world: the best rule, a selector, open-loop schedules, and hindsight without luck.

    python benchmarks/headroom.py            # the tables of the record that is kept
    python benchmarks/headroom.py RECORDS    # plays what is missing in the folder RECORDS; with --keep, the record

Everything is chosen on the training instances 0 to --training − 1 of the recipe `taught-slots`, and scored on --scored
ones from 1,024 on, which no policy has trained on and which are not held out. A kind is a task, a number of training
samples and a host. Test accuracy, as the mean over instances:

- `best rule`: the rule of the highest mean on training instances; `by kind`: the same within each kind.
- `selector`: the rule that a shallow tree chooses by what the instance is of (esper_evaluation.selector).
- `policy`: the weights of esper-pretrained, actions drawn as in training.
- `schedule`: the best open-loop schedule of the kind, found with --episodes episodes by the search of `best-fixed`: the
  mean over --searches searches; beside it the least and the largest. A kind without training instances has none, and
  counts with the best rule.
- `per instance`: the best of all rules and schedules on each instance, chosen on one half of its repeats and scored
  on the other, both ways round, which is too low, because half of them choose worse than all; `hindsight` is chosen and
  scored on the same ones, which is too high, because luck is in it.

Nothing else is left to chance within an instance, which fixes weights, data and order. So its repeats train hosts with
step sizes two hundredths apart: nearly the same, with luck of their own. Whatever is scored is scored on the
same repeats.

Differences are to the best rule and to that of each kind, with 95 % bootstrap intervals over instances. What was
stopped goes on with the same command.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attrs import asdict
from field import Field
from tables import between, markdown

from esper_core.cli.counting import counting
from esper_core.contracts.errors import EsperError
from esper_evaluation.selector import Selector
from esper_evaluation.statistics import Bootstrap, Estimate, Values, pooled_mean

RULES = ("static", "random", "periodic", "plateau", "all-on", "all-on-heavy")
SCORED_FROM = 1024
REFERENCES = ("best rule", "by kind")
"""What all others are compared with."""
SIZES = ("slots", "training", "scored", "episodes", "searches", "repeats", "envs")


def split_halves(values: Values) -> tuple[Values, Values]:
    """Return the best of each instance, chosen on one half of its repeats and scored on the other; and in hindsight.

    Args:
        values: `[C, I, R]`: candidates, instances, repeats; R is even.
    """
    halves = values[..., ::2].mean(axis=-1), values[..., 1::2].mean(axis=-1)
    across = [
        np.take_along_axis(score, chosen.argmax(axis=0)[None], axis=0)[0] for chosen, score in (halves, halves[::-1])
    ]
    return (across[0] + across[1]) / 2, ((halves[0] + halves[1]) / 2).max(axis=0)


def estimate(values: Values) -> Estimate:
    """Return the mean over instances `[I]` with its interval."""
    return Bootstrap.draw(len(values), 1).sampled(pooled_mean, values[None]).estimate


def measure(arena: Field) -> dict[str, Any]:
    """Play what is missing, and return the table as JSON-able values."""
    sizes = arena.sizes
    learned, scored = range(sizes["training"]), range(SCORED_FROM, SCORED_FROM + sizes["scored"])
    searches, repeats = range(sizes["searches"]), sizes["repeats"]
    whos = {name: arena.rule(name) for name in RULES}
    training = {name: arena.all("training", [(i, who) for i in learned]) for name, who in whos.items()}
    achieved = {name: np.array([line["accuracy"] for line in found]) for name, found in training.items()}
    single = max(RULES, key=lambda name: achieved[name].mean())
    world = np.array([line["world"] for line in training["static"]])
    selector = Selector.fit(arena.fields, world, achieved)
    worlds = arena.all("worlds", [(i, whos["static"]) for i in scored])
    rules = np.array([arena.repeated("scored", [(i, who) for i in scored]) for who in whos.values()])
    policy = arena.repeated("scored", [(i, arena.learned()) for i in scored])
    of_training, of_scored = ([line["kinds"] for line in found] for found in (training["static"], worlds))
    kinds = sorted(set(of_scored))
    known = {kind: [i for i in learned if of_training[i] == kind] for kind in kinds}
    here = {kind: [at for at, other in enumerate(of_scored) if other == kind] for kind in kinds}
    asked = sum(len(here[kind]) * len(searches) for kind in kinds if known[kind])
    episodes = sum(map(bool, known.values())) * len(searches) * sizes["episodes"]
    arena.total = arena.done + episodes + -(-asked // sizes["envs"]) * sizes["envs"] * repeats
    schedules = {
        kind: [arena.schedule(arena.searched(kind, seed, known[kind])) for seed in searches if known[kind]]
        for kind in kinds
    }
    played = [(scored[at], who) for kind in kinds for who in schedules[kind] for at in here[kind]]
    reached = iter(arena.repeated("scored", played))
    rows: dict[str, dict[str, Any]] = {}
    each: dict[str, list[Values]] = {}
    for kind in kinds:
        values, found = rules[:, here[kind]], schedules[kind]
        means = {name: achieved[name][known[kind] or learned].mean() for name in RULES}
        best = max(RULES, key=means.__getitem__)
        taken = [RULES.index(selector.choose(worlds[at]["world"])) for at in here[kind]]
        shape = len(found), len(here[kind]), repeats
        open_loop = np.array([next(reached) for _ in range(shape[0] * shape[1])]).reshape(shape)
        split, hindsight = split_halves(np.concatenate([values, open_loop]))
        columns = {
            "static": values[RULES.index("static")].mean(axis=-1),
            "best rule": values[RULES.index(single)].mean(axis=-1),
            "by kind": values[RULES.index(best)].mean(axis=-1),
            "selector": values[taken, range(len(here[kind]))].mean(axis=-1),
            "policy": policy[here[kind]].mean(axis=-1),
            "schedule": (open_loop if found else values[[RULES.index(single)]]).mean(axis=(0, -1)),
            "per instance": split,
            "hindsight": hindsight,
        }
        each = {name: [*each.get(name, []), column] for name, column in columns.items()}
        rows[kind] = {"instances": len(here[kind]), "training": len(known[kind]), "rule": best, **_row(columns)}
        rows[kind]["searches"] = [float(own.mean()) for own in open_loop]
    together = {name: np.concatenate(columns) for name, columns in each.items()}
    differences = {
        other: {name: asdict(estimate(column - together[other])) for name, column in together.items()}
        for other in REFERENCES
    }
    return {
        "best_rule": single,
        "kinds": rows,
        "all": {"instances": len(scored), **_row(together)},
        "minus": differences,
        "selector": selector.to_json(),
        "sizes": dict(sizes),
        "policy": arena.policy,
    }


def _row(columns: Mapping[str, Values]) -> dict[str, float]:
    return {name: float(column.mean()) for name, column in columns.items()}


def by_kind(document: Mapping[str, Any]) -> str:
    """Return accuracies by kind as a Markdown table."""
    names = list(document["minus"][REFERENCES[0]])
    table = [["kind", "training", "instances", *names, "rule of the kind", "searches"]]
    for kind, row in (*document["kinds"].items(), ("all", document["all"])):
        spread = row.get("searches") or []
        told = f"{min(spread):.3f} to {max(spread):.3f}" if spread else ""
        rule = f"`{row['rule']}`" if "rule" in row else ""
        counts = str(row.get("training", document["sizes"]["training"])), str(row["instances"])
        table.append([kind, *counts, *(f"{row[name]:.3f}" for name in names), rule, told])
    return markdown(table)


def apart(document: Mapping[str, Any]) -> str:
    """Return the differences to the best rule, and to that of each kind, as a Markdown table."""
    rows = [["", f"minus the best rule, `{document['best_rule']}`", "minus the best rule of each kind"]]
    for name in document["minus"][REFERENCES[0]]:
        found = {other: Estimate(**document["minus"][other][name]) for other in REFERENCES if other != name}
        rows.append([name, *(between(found[o], 3, signed=True) if o in found else "" for o in REFERENCES)])
    return markdown(rows)


@cache
def _recorded() -> dict[str, Any]:
    return measure(Field.recorded())


TABLES = {"kinds": lambda: by_kind(_recorded()), "differences": lambda: apart(_recorded())}


def main() -> None:
    """Measure, or read what was measured, and print tables or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "records", type=Path, nargs="?", help="folder of what is played; without it, the record is read"
    )
    parser.add_argument("--slots", type=int, default=3, help="slots of every host")
    parser.add_argument("--training", type=int, default=64, help="instances on which everything is chosen")
    parser.add_argument("--scored", type=int, default=48, help="instances on which it is scored")
    parser.add_argument("--episodes", type=int, default=64, help="episodes of a search")
    parser.add_argument("--searches", type=int, default=2, help="searches for each kind")
    parser.add_argument("--repeats", type=int, default=4, help="repeats of an instance, an even number")
    parser.add_argument("--envs", type=int, default=16, help="episodes side by side")
    parser.add_argument("-o", "--option", action="append", default=[], help="KIND.key=VALUE, as for esper train")
    parser.add_argument("--keep", action="store_true", help="keep what the tables are made of")
    parser.add_argument("--json", action="store_true", help="print JSON")
    said = parser.parse_args()
    if said.repeats < 2 or said.repeats % 2:
        parser.error("--repeats is an even number: one half chooses, the other scores.")
    given = [name for name in (*SIZES, "option", "keep") if getattr(said, name) != parser.get_default(name)]
    if said.records is None and given:
        parser.error(f"--{given[0]} needs the folder of what is played.")
    if min(said.training, said.scored, said.searches, said.envs) < 1:
        parser.error("--training, --scored, --searches and --envs are 1 at least.")
    document = _recorded() if said.records is None else _played(parser, said)
    print(json.dumps(document) if said.json else f"{by_kind(document)}\n\n{apart(document)}")


def _played(parser: argparse.ArgumentParser, said: argparse.Namespace) -> dict[str, Any]:
    torch.set_num_threads(1)
    with counting("episodes", [], plain=said.json) as (show, _):
        arena = Field.opened(said.records, {name: getattr(said, name) for name in SIZES}, tuple(said.option), show)
        arena.total = len(RULES) * (said.training + said.repeats * said.scored) + (said.repeats + 1) * said.scored
        try:
            document = measure(arena)
        except KeyboardInterrupt:
            kept = f"Stopped after {arena.done} episodes, which are kept in {arena.path}; the same command goes on.\n"
            parser.exit(130, kept)
        finally:
            arena.close()
    if said.keep:
        print(f"{arena.keep()}: kept", file=sys.stderr)
    return document


if __name__ == "__main__":
    try:
        main()
    except (EsperError, OSError, ValueError) as error:
        sys.exit(f"headroom.py: {error}")
