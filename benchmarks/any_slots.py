"""Is one policy for every number of slots worth as much as one for each number? Tables from records that are kept.

    python benchmarks/any_slots.py                   # all tables about it
    python benchmarks/any_slots.py ablations         # one of them

Records are those of `esper evaluate --slots N --arms policy,static,all-on,all-on-heavy`, kept by benchmarks/tables.py
as `trained-3-at-N`, `trained-1-to-5-at-N`, `lstm-v1-at-N` and so on, after who was trained with what. All policies have
played the same held-out instances of `mixed`. A difference is the mean over instances and training seeds, instance by
instance, kind by kind; its interval is that of `esper evaluate --primary paired-mean`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping

from attrs import evolve
from gap import problem
from record import Record, Side, is_kept, paired, read
from tables import between, markdown

from esper_evaluation.statistics import Estimate

SLOTS = (1, 2, 3, 4, 5, 6, 8, 12)
RULES = ("static", "all-on", "all-on-heavy")
ANY = {"trained-3": "`lstm-slots`, 3", "trained-1-to-5": "`lstm-slots`, 1 to 5"}
SPECIALISTS = {"lstm-v1": (3, 5, 8), "lstm-v2": (5,)}
TUNED = ("trained-3", "trained-1-to-5")
TUNED_AT = (5, 8)
ABLATIONS = {"no-memory": "`network.slot_memory=false`", "no-position": "`features.position=false`"}
ABLATED_AT = (3, 8)
TRIED = {"longer": "64 updates, not 32", "taught": "taught by the best rule of each kind"}
TRIED_AT = (3, 5)
CLEAR = 2.0
"""A ratio is given where its denominator is so many times the half of its interval, at least."""


def record(trained: str, slots: int) -> Record:
    """Return what policies achieved with a number of slots; of an instance it says the kind of problem alone."""
    found = read(f"{trained}-at-{slots}")
    said = [dict(zip(found.tags, words, strict=True)) for words in zip(*found.tags.values(), strict=True)]
    return evolve(found, tags={"problem": [", ".join(map(str, problem(words))) for words in said]})


def side(trained: str, slots: int, arm: str) -> Side:
    """Return an arm of policies as one side of a difference."""
    return Side(f"{trained} with {slots} slots", record(trained, slots), arm)


def mean(trained: str, slots: int, arm: str = "policy") -> float:
    """Return the mean of test accuracy."""
    return float(side(trained, slots, arm).reached().mean())


def difference(one: tuple[str, str], other: tuple[str, str], slots: int) -> Estimate:
    """Return how much more one arm of policies, `(trained, arm)`, has achieved than another."""
    return paired(*(side(trained, slots, arm) for trained, arm in (one, other))).estimate


def best_rule(slots: int) -> str:
    """Return the rule with the highest mean on training instances, or on these, where none were played."""
    means = record("trained-3", slots).training or {rule: mean("trained-3", slots, rule) for rule in RULES}
    return max(RULES, key=means.__getitem__)


def played() -> list[int]:
    """Return the numbers of slots with which rules have played."""
    return [n for n in SLOTS if is_kept(f"trained-3-at-{n}")]


def policies(slots: int) -> dict[str, str]:
    """Return the policies that have played with a number of slots: name of the record → name in a table."""
    known = {**ANY, **{name: f"`{name}`" for name, counts in SPECIALISTS.items() if slots in counts}}
    return {name: shown for name, shown in known.items() if is_kept(f"{name}-at-{slots}")}


def by_slots() -> str:
    """Mean test accuracy of everyone, by number of slots."""
    rows = [["", *(f"N = {n}" for n in played())]]
    rows += [[f"`{rule}`", *(f"{mean('trained-3', n, rule):.3f}" for n in played())] for rule in RULES]
    for name, shown in [*ANY.items(), *((name, f"`{name}`") for name in SPECIALISTS)]:
        rows.append([shown, *(f"{mean(name, n):.3f}" if name in policies(n) else "" for n in played())])
    return markdown(rows)


def to_the_best_rule() -> str:
    """Policies minus the best rule, by number of slots."""
    rows = [["N", "best rule", *ANY.values(), *(f"`{name}`" for name in SPECIALISTS)]]
    for n in played():
        rule = best_rule(n)
        rows.append([str(n), f"`{rule}`"])
        for name in (*ANY, *SPECIALISTS):
            apart = difference((name, "policy"), ("trained-3", rule), n) if name in policies(n) else None
            rows[-1].append(between(apart, 3, signed=True) if apart else "")
    return markdown(rows)


def to_specialists() -> str:
    """`lstm-slots` minus who was trained for a number of slots, and what share of its lead it has."""
    rows = [["N", "specialist", *(f"{shown} {what}" for shown in ANY.values() for what in ("−", "share"))]]
    for name, counts in SPECIALISTS.items():
        for n in counts:
            if name not in policies(n):
                continue
            rows.append([str(n), f"`{name}`"])
            for general in ANY:
                apart = difference((general, "policy"), (name, "policy"), n)
                rows[-1] += [between(apart, 3, signed=True), share(general, name, n)]
    return markdown(rows)


def share(general: str, specialist: str, slots: int) -> str:
    """Return (policy − best rule) / (specialist − best rule), where the specialist's lead is beyond noise."""
    rule = best_rule(slots)
    lead = difference((specialist, "policy"), ("trained-3", rule), slots)
    if lead.value < CLEAR * (lead.high - lead.low) / 2:
        return "too uncertain"
    return f"{difference((general, 'policy'), ('trained-3', rule), slots).value / lead.value:.2f}"


def tuned() -> str:
    """What a tenth of the steps more, with a number of slots, adds."""
    rows = [["policy", "N", "before", "after", "after − before"]]
    for name in TUNED:
        for n in TUNED_AT:
            if not is_kept(f"tuned-{name}-at-{n}"):
                continue
            before, after = mean(name, n), mean(f"tuned-{name}", n)
            apart = difference((f"tuned-{name}", "policy"), (name, "policy"), n)
            rows.append([ANY[name], str(n), f"{before:.3f}", f"{after:.3f}", between(apart, 3, signed=True)])
    return markdown(rows)


def of_many() -> str:
    """Training with 1 to 5 slots minus training with 3."""
    apart = [
        between(difference(("trained-1-to-5", "policy"), ("trained-3", "policy"), n), 3, signed=True) for n in played()
    ]
    return markdown([["", *(f"N = {n}" for n in played())], ["1 to 5, minus 3", *apart]])


def ablations() -> str:
    """What is lost without a part; all trained with 3 slots."""
    rows = [["without", *(f"N = {n}, minus whole" for n in ABLATED_AT)]]
    for name, shown in ABLATIONS.items():
        if all(is_kept(f"{name}-at-{n}") for n in ABLATED_AT):
            apart = [difference((name, "policy"), ("trained-3", "policy"), n) for n in ABLATED_AT]
            rows.append([shown, *(between(estimate, 3, signed=True) for estimate in apart)])
    return markdown(rows)


def tried() -> str:
    """What else was tried with 3 slots, minus `lstm-slots` as it was trained there, and minus the best rule."""
    rows = [["", "N", "test accuracy", "minus `lstm-slots`, 3", "minus the best rule"]]
    for name, shown in TRIED.items():
        for n in TRIED_AT:
            if is_kept(f"{name}-at-{n}"):
                others = ("trained-3", "policy"), ("trained-3", best_rule(n))
                apart = (between(difference((name, "policy"), other, n), 3, signed=True) for other in others)
                rows.append([shown, str(n), f"{mean(name, n):.3f}", *apart])
    return markdown(rows)


TABLES: Mapping[str, Callable[[], str]] = {
    "by-slots": by_slots,
    "to-the-best-rule": to_the_best_rule,
    "to-specialists": to_specialists,
    "of-many": of_many,
    "tuned": tuned,
    "ablations": ablations,
    "tried": tried,
}


def names() -> set[str]:
    """Return the names of the records that tables are made of, as far as they are kept."""
    found = {f"{name}-at-{n}" for n in SLOTS for name in policies(n)}
    found |= {f"tuned-{name}-at-{n}" for name in TUNED for n in TUNED_AT}
    found |= {f"{name}-at-{n}" for name in ABLATIONS for n in ABLATED_AT}
    found |= {f"{name}-at-{n}" for name in TRIED for n in TRIED_AT}
    return {name for name in found if is_kept(name)}


def main() -> None:
    """Print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", help=", ".join(TABLES))
    chosen = parser.parse_args().tables or list(TABLES)
    if not names():
        sys.exit("any_slots.py: no record is kept of what its tables are made of; benchmarks/records has none.")
    if unknown := [name for name in chosen if name not in TABLES]:
        sys.exit(f"any_slots.py: there is no table {unknown[0]}; there are {', '.join(TABLES)}")
    try:
        for name in chosen:
            print(f"{TABLES[name].__doc__}\n{TABLES[name]()}")
    except ValueError as error:
        sys.exit(f"any_slots.py: {error}")


if __name__ == "__main__":
    main()
