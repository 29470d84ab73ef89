"""Numbers of the documentation, computed again from what was measured: episode records that are kept beside this file.

    python benchmarks/tables.py                              # does every page say what its records say?
    python benchmarks/tables.py --write                      # put into the pages what the records say
    python benchmarks/tables.py --keep document.json NAME    # keep an evaluation; first: esper evaluate … --json > …
    python benchmarks/tables.py --figure NAME arms.png       # draw what a record says, as esper evaluate does

A page marks what follows from a record, in a line or around a table: `<!-- kept NAME WHAT -->…<!-- end -->`. Tables of
several records have a file of their own, such as any_slots.py: `<!-- kept any-slots by-slots -->`.
benchmarks/records/README.md says what WHAT may be, and what a record holds.
"""

from __future__ import annotations

import argparse
import json
import lzma
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from attrs import asdict, frozen

from esper_core.composition.plan import describe_plan
from esper_core.contracts.errors import EsperError
from esper_core.contracts.state import Outcome
from esper_core.registry.index import Component
from esper_core.registry.loading import load_index
from esper_core.runs.directory import RunDirectory
from esper_core.system.content import differences
from esper_core.system.json_files import read_json, read_lines
from esper_core.system.shape import structured
from esper_evaluation.arms import OWN, POLICY, Arm
from esper_evaluation.comparison import Comparison, compare
from esper_evaluation.figure import draw
from esper_evaluation.looked import IQM
from esper_evaluation.records import ABOUT_FILE, EPISODES_FILE
from esper_evaluation.statistics import Estimate
from esper_evaluation.stratified import Stratified, paired_mean

ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "benchmarks" / "records"
SUFFIX = ".json.xz"
ACROSS = {"any-slots": "any_slots", "effects": "effects", "evidence": "evidence", "sensitivity": "sensitivity"}
"""Tables of several records, or of training: what pages call them, and the module beside this one that makes them."""
LARGE = 10_000_000
"""From here on a column is in units of 10⁹."""
BLOCK = re.compile(
    r"(?<!`)(<!-- kept (?P<name>[\w-]+) (?P<what>[^>]*?) -->)(?P<text>.*?)(?P<end><!-- end -->)", re.DOTALL
)


@frozen
class Record:
    """What an evaluation measured: as `esper evaluate --json` has it, but for what follows from the rest.

    Attributes:
        about: Circumstances: components with options, sources, libraries, processor.
        policies: Policy seed → digest of a checkpoint.
        updates: Updates of each policy.
        slots: What all arms played with.
        arms: Names, rules and others, in the order of the evaluation.
        outcomes: What was measured, the first of which decides.
        instances: Numbers of the instances.
        together: So many instances side by side are one, seen from as many sides.
        values: Arm → outcome → one row per policy seed, or one, with a number for every instance.
        tags: Word → what the environment says about every instance.
        declared: What decides, such as `iqm`.
        training: Rule → mean of the first outcome on training instances.
        search: What the search for `best-fixed` cost; null without it.
    """

    about: dict[str, Any]
    policies: dict[str, str]
    updates: list[int]
    slots: list[str]
    arms: list[str]
    outcomes: list[dict[str, Any]]
    instances: list[int]
    together: int
    values: dict[str, dict[str, list[list[float]]]]
    tags: dict[str, list[str]]
    declared: str
    training: dict[str, float]
    search: dict[str, Any] | None

    def compared(self, by: str | None = None) -> Comparison:
        """Return the comparison that `esper evaluate` makes, within groups of a word of the tags too."""
        own = {arm.name: arm for arm in OWN}
        # All that a comparison asks of a rule is whether it is one.
        rule = cast(Component, object())
        outcomes = [Outcome(**outcome) for outcome in self.outcomes]
        return compare(
            [own.get(name, Arm(name, "", rule=rule)) for name in self.arms],
            outcomes,
            {arm: {name: np.array(rows) for name, rows in found.items()} for arm, found in self.values.items()},
            self.instances,
            [int(seed) for seed in self.policies],
            [dict(zip(self.tags, words, strict=True)) for words in zip(*self.tags.values(), strict=True)],
            by,
            self.together,
            self.declared,
            {name: {outcomes[0].name: value} for name, value in self.training.items()},
        )


def is_kept(name: str) -> bool:
    """Return whether there is a record of this name."""
    return (RECORDS / f"{name}{SUFFIX}").is_file()


@cache
def read(name: str) -> Record:
    """Return a record that is kept; raises ValueError where there is none."""
    path = RECORDS / f"{name}{SUFFIX}"
    if not is_kept(name):
        raise ValueError(f"there is no record {path}")
    return structured(Record, json.loads(lzma.decompress(path.read_bytes())))


# Keeping ------------------------------------------------------------------------------------------------------------


def measured(document: Mapping[str, Any]) -> Record:
    """Return the record of an evaluation, from what `esper evaluate --json` has printed and what it has kept.

    Raises:
        ValueError: the document does not follow from the episodes.
    """
    folder = Path(document["records"])
    episodes = [line.entry for line in read_lines(folder / EPISODES_FILE)]
    # Of an arm that was played in several versions the last one counts; the comparison below is of these alone.
    lines = {(episode["arm"], episode["seed"], episode["instance"]): episode for episode in episodes}
    instances, arms = document["instance_numbers"], list(document["arms"])
    names = [outcome["name"] for outcome in document["outcomes"]]

    def rows(arm: str) -> list[list[dict[str, Any]]]:
        seeds = document["policy_seeds"] if (arm, None, instances[0]) not in lines else [None]
        return [[lines[arm, seed, instance] for instance in instances] for seed in seeds]

    found = {arm: rows(arm) for arm in arms}
    said = found[arms[0]][0]
    learned = next((found[arm.name] for arm in OWN if arm.learned and arm.name in found), [])
    primary, secondary = document["primary"] or {}, document["secondary"]
    record = Record(
        about=read_json(folder / ABOUT_FILE),
        policies={str(row[0]["seed"]): row[0]["version"] for row in learned}
        or {str(seed): "" for seed in document["policy_seeds"]},
        updates=document["checkpoints"],
        slots=document["slots"],
        arms=arms,
        outcomes=document["outcomes"],
        instances=instances,
        together=sides_of(Path(document["runs"][0])),
        values={
            arm: {name: [[e["outcomes"][name] for e in row] for row in own] for name in names}
            for arm, own in found.items()
        },
        tags={word: [episode["tags"][word] for episode in said] for word in sorted(said[0]["tags"])},
        declared=primary.get("by", IQM),
        training=secondary["training"],
        search=document["search"],
    )
    by = next((word for word, own in record.tags.items() if set(own) == set(document["groups"])), None)
    again = json.loads(json.dumps(record.compared(by).to_json()))
    if changes := list(differences(again, {name: document[name] for name in again})):
        raise ValueError(f"the document does not follow from {folder / EPISODES_FILE}: {'; '.join(changes)}")
    return record


def sides_of(run: Path) -> int:
    """Return from how many sides each instance of a run is played."""
    return max(1, len(describe_plan(RunDirectory.open(run).plan, load_index()).sides))


def keep(record: Record, name: str) -> Path:
    """Write a record, compressed; return where."""
    path = RECORDS / f"{name}{SUFFIX}"
    path.write_bytes(lzma.compress(json.dumps(asdict(record)).encode(), preset=9 | lzma.PRESET_EXTREME))
    return path


# Saying -------------------------------------------------------------------------------------------------------------


def said(name: str, what: str) -> str:
    """Return what a record says, as a page has it.

    Raises:
        ValueError: it says nothing of that kind.
    """
    if name in ACROSS:
        tables = import_module(ACROSS[name]).TABLES
        if what not in tables:
            raise ValueError(f"there is no table '{what}' of {name}; there are {', '.join(tables)}")
        return f"\n\n{tables[what]()}\n\n"
    kind, *words = what.split()
    record, comparison = read(name), _compared(name, None)
    if kind == "arms":
        chosen = words[0].split(",") if words else list(comparison.arms)
        columns = {
            outcome.name: {arm: comparison.arms[arm][outcome.name] for arm in chosen} for outcome in comparison.outcomes
        }
        return _table(columns, chosen, comparison)
    if kind == "by":
        first, groups = comparison.outcomes[0].name, _compared(name, words[0]).groups
        chosen = words[1].split(",") if len(words) > 1 else list(comparison.arms)
        return _table(
            {
                f"`{word}` ({group.instances})": {arm: group.arms[arm][first] for arm in chosen}
                for word, group in groups.items()
            },
            chosen,
            comparison,
        )
    if kind == "against":
        found = {arm: _apart(name, arm).estimate for arm in comparison.arms if arm != POLICY}
        cells = [[f"`{POLICY}` − `{arm}`", between(found[arm], 3, signed=True)] for arm in found]
        return f"\n\n{markdown([['difference', 'mean, 95 % interval'], *cells])}\n\n"
    if kind == "kinds" and words:
        return _by_kind({arm: _apart(name, arm) for arm in words[0].split(",")})
    if kind == "difference" and words:
        return between(_apart(name, *words).estimate, 3, signed=True)
    contrasts = {"primary": comparison.primary, "iqm": comparison.iqm, "mean": comparison.mean}
    if (contrast := contrasts.get(kind)) is not None:
        return between(contrast.delta, 3, signed=True)
    if kind == "gap" and comparison.oracle_gap is not None:
        return between(comparison.oracle_gap, 3, signed=True)
    counts = {"instances": len(record.instances), "seeds": len(record.policies)}
    if kind in counts:
        return f"{counts[kind]:,}"
    if kind in comparison.arms and words and words[0] in comparison.arms[kind]:
        return between(comparison.arms[kind][words[0]], _decimals([comparison.arms[kind][words[0]]]))
    raise ValueError(f"the record {name} says nothing of '{what}'")


@cache
def _compared(name: str, by: str | None) -> Comparison:
    return read(name).compared(by)


@cache
def _apart(name: str, arm: str, where: str | None = None) -> Stratified:
    """Return the mean difference of the policy to an arm, as `paired-mean` takes it.

    `where` is a word of the tags and what it is to be, such as `host=narrow,pointwise`; all instances count without it.
    """
    record, first = read(name), read(name).outcomes[0]["name"]
    if arm not in record.values:
        raise ValueError(f"the record {name} has no arm '{arm}'; there are {', '.join(record.values)}")
    chosen = list(range(len(record.instances)))
    if where is not None:
        word, _, texts = where.partition("=")
        if lost := set(texts.split(",")) - set(record.tags.get(word, ())):
            raise ValueError(f"the record {name} has no {word} that is {', '.join(sorted(lost))}")
        chosen = [i for i in chosen if record.tags[word][i] in texts.split(",")]
    policy, other = (np.array(record.values[own][first])[:, chosen] for own in (POLICY, arm))
    # As the comparison names kinds.
    kinds = [", ".join(record.tags[word][i] for word in sorted(record.tags)) for i in chosen]
    return paired_mean(policy - other, kinds, record.together)


def _by_kind(found: Mapping[str, Stratified]) -> str:
    """Return a table of the policy's differences to arms: kinds in alphabetical order, and all together."""
    rows = [["kind", "instances", *(f"− `{arm}`" for arm in found)]]
    kinds = next(iter(found.values())).kinds
    for kind in sorted(kinds):
        own = [apart.kinds[kind][1] for apart in found.values()]
        shown = [between(d, 3, signed=True) if isinstance(d, Estimate) else f"{d:+.3f}".replace("-", "−") for d in own]
        rows.append([kind, str(kinds[kind][0]), *shown])
    total = [between(apart.estimate, 3, signed=True) for apart in found.values()]
    return f"\n\n{markdown([*rows, ['all', str(sum(count for count, _ in kinds.values())), *total]])}\n\n"


def _table(columns: Mapping[str, Mapping[str, Estimate]], arms: Sequence[str], comparison: Comparison) -> str:
    """Return a Markdown table, a line per arm, with as many decimals as a column needs."""
    header, shown = ["arm"], [f"`{arm}`{' (best rule)' if arm == comparison.best_rule else ''}" for arm in arms]
    cells = [shown]
    for column, found in columns.items():
        name, estimates = column.replace("_", " "), [found[arm] for arm in arms]
        if max(abs(estimate.value) for estimate in estimates) >= LARGE:
            name, estimates = f"{name}, 10⁹", [Estimate(e.value / 1e9, e.low / 1e9, e.high / 1e9) for e in estimates]
        places = _decimals(estimates)
        header.append(name)
        cells.append([between(estimate, places) for estimate in estimates])
    return f"\n\n{markdown([header, *zip(*cells, strict=True)])}\n\n"


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; its first row is the header."""
    return "\n".join(f"| {' | '.join(row)} |" for row in [rows[0], ["---"] * len(rows[0]), *rows[1:]])


def _decimals(estimates: Iterable[Estimate]) -> int:
    largest = max(abs(estimate.value) for estimate in estimates)
    return 0 if largest >= 1000 else 1 if largest >= 10 else 3


def between(estimate: Estimate, decimals: int, *, signed: bool = False) -> str:
    """Return a number with its interval."""
    value = f"{estimate.value:{'+' if signed else ''},.{decimals}f}"
    return f"{value} [{estimate.low:,.{decimals}f}, {estimate.high:,.{decimals}f}]".replace("-", "\N{MINUS SIGN}")


# Pages --------------------------------------------------------------------------------------------------------------


class Block(NamedTuple):
    """What a page says that follows from a record."""

    page: Path
    name: str
    what: str
    text: str


def pages() -> list[Path]:
    """Return the pages that may quote records."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md")), RECORDS / "README.md"]


def blocks(page: Path) -> Iterator[Block]:
    """Yield what a page quotes."""
    for found in BLOCK.finditer(page.read_text(encoding="utf-8")):
        yield Block(page, found["name"], found["what"], found["text"])


def rewritten(text: str, say: Callable[[str, str], str] = said) -> str:
    """Return a page with what its records say."""
    return BLOCK.sub(lambda found: f"{found[1]}{say(found['name'], found['what'])}{found['end']}", text)


def main() -> None:
    """Do what is asked for; end with a sentence where it cannot be done."""
    try:
        _main()
    except (EsperError, OSError, ValueError) as error:
        sys.exit(f"tables.py: {error}")


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put into the pages what the records say")
    parser.add_argument("--keep", nargs=2, metavar=("DOCUMENT", "NAME"), help="keep an evaluation under a name")
    parser.add_argument("--figure", nargs=2, metavar=("NAME", "PNG"), help="draw the comparison of a record")
    chosen = parser.parse_args()
    if chosen.figure:
        name, path = chosen.figure
        draw(_compared(name, None), [arm.name for arm in OWN if arm.learned], Path(path))
        return
    if chosen.keep:
        path = keep(measured(read_json(Path(chosen.keep[0]))), chosen.keep[1])
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")
        return
    wrong = 0
    for page in pages():
        for block in blocks(page):
            expected = said(block.name, block.what)
            agrees = block.text == expected
            wrong += not agrees
            print(
                f"{page.relative_to(ROOT)}: {block.name} {block.what}: {'as recorded' if agrees else expected.strip()}"
            )
        text = page.read_text(encoding="utf-8")
        if chosen.write and rewritten(text) != text:
            page.write_text(rewritten(text), encoding="utf-8")
    if wrong and not chosen.write:
        sys.exit(f"{wrong} numbers are not those of the records; --write puts them right.")


if __name__ == "__main__":
    main()
