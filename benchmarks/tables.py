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
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import numpy as np
from record import RECORDS, ROOT, Side, keep, measured, paired, read

from esper_core.contracts.errors import EsperError
from esper_core.system.json_files import read_json
from esper_evaluation.arms import OWN, POLICY
from esper_evaluation.comparison import Comparison
from esper_evaluation.figure import draw
from esper_evaluation.looked import PAIRED
from esper_evaluation.statistics import Estimate
from esper_evaluation.stratified import Stratified

ACROSS = {
    name: name.replace("-", "_") for name in ("any-slots", "effects", "evidence", "headroom", "sensitivity", "timing")
}
"""Tables of several records, or of others than evaluations: what pages call them, and the module that makes them."""
LARGE = 10_000_000
"""From here on a column is in units of 10⁹."""
NAME = re.compile(r"[\w-]+")
BLOCK = re.compile(
    rf"(?<!`)(<!-- kept (?P<name>{NAME.pattern}) (?P<what>[^>]*?) -->)(?P<text>.*?)(?P<end><!-- end -->)", re.DOTALL
)
MARKER = re.compile(r"`[^`\n]*`|(?P<half><!--\s*(?:kept|end)\b)")
"""Half of a quote, which is none within code."""


# What a record says -------------------------------------------------------------------------------------------------


def said(name: str, what: str) -> str:
    """Return what a record says, as a page has it.

    Raises:
        ValueError: it says nothing of that kind.
    """
    if name in ACROSS:
        tables = import_module(ACROSS[name]).TABLES
        if what not in tables:
            raise ValueError(f"there is no table '{what}' of {name}; there are {', '.join(tables)}")
        return _apart_from_text(tables[what]())
    kind, *words = what.split() or [""]
    if kind in read(name).arms:
        kind, words = "outcome", [kind, *words]
    say = WHATS.get(kind)
    if say is None:
        raise ValueError(f"the record {name} says nothing of '{what}'")
    try:
        inspect.signature(say).bind(name, *words)
    except TypeError:
        raise ValueError(f"'{what}' has too few words or too many; benchmarks/records/README.md says which") from None
    return say(name, *words)


def _arms(name: str, some: str | None = None) -> str:
    comparison = _compared(name, None)
    chosen = list(comparison.arms) if some is None else _named(name, some)
    columns = {
        outcome.name: {arm: comparison.arms[arm][outcome.name] for arm in chosen} for outcome in comparison.outcomes
    }
    return _table(columns, chosen, comparison)


def _by(name: str, word: str, some: str | None = None) -> str:
    if word not in read(name).tags:
        raise ValueError(f"the record {name} has no tag '{word}'; there are {', '.join(read(name).tags)}")
    comparison = _compared(name, word)
    chosen, first = list(comparison.arms) if some is None else _named(name, some), read(name).first
    columns = {
        f"`{text}` ({group.instances})": {arm: group.arms[arm][first] for arm in chosen}
        for text, group in comparison.groups.items()
    }
    return _table(columns, chosen, comparison)


def _against(name: str) -> str:
    found = {arm: _apart(name, POLICY, arm).estimate for arm in read(name).arms if arm != POLICY}
    best_first = sorted(found, key=lambda arm: found[arm].value)
    cells = [[f"`{POLICY}` − `{arm}`", between(found[arm], 3, signed=True)] for arm in best_first]
    return _apart_from_text(markdown([["difference", "mean, 95 % interval"], *cells]))


def _kinds(name: str, some: str) -> str:
    found = {arm: _apart(name, POLICY, arm) for arm in _named(name, some)}
    rows = [["kind", "instances", *(f"− `{arm}`" for arm in found)]]
    kinds = next(iter(found.values())).kinds
    for kind in sorted(kinds):
        own = [apart.kinds[kind][1] for apart in found.values()]
        shown = [between(d, 3, signed=True) if isinstance(d, Estimate) else minus(f"{d:+.3f}") for d in own]
        rows.append([kind, str(kinds[kind][0]), *shown])
    total = [between(apart.estimate, 3, signed=True) for apart in found.values()]
    rows.append(["all", str(sum(count for count, _ in kinds.values())), *total])
    return _apart_from_text(markdown(rows))


def _averages(name: str, outcome: str, some: str) -> str:
    arms, kinds = _named(name, some), np.array(read(name).kinds)
    values = {arm: _side(name, arm).reached(outcome).mean(axis=0) for arm in arms}
    places = 0 if max(map(np.max, values.values())) >= 1000 else 3
    rows = [["kind", "instances", *(f"`{arm}`" for arm in arms)]]
    for kind in (*sorted(set(kinds)), "all"):
        here = kinds == kind if kind != "all" else np.full(len(kinds), True)
        rows.append([kind, str(here.sum()), *(f"{values[arm][here].mean():,.{places}f}" for arm in arms)])
    return _apart_from_text(markdown(rows))


def _average(name: str, arm: str, outcome: str) -> str:
    mean = _side(name, arm).reached(outcome).mean()
    return f"{mean / 1e9:,.1f} · 10⁹" if mean >= LARGE else f"{mean:,.{0 if mean >= 1000 else 3}f}"


def _training(name: str) -> str:
    means = read(name).training
    if not means:
        raise ValueError(f"of the record {name} no rule has played training instances")
    rows = [[f"`{rule}`", f"{means[rule]:.4f}"] for rule in sorted(means, key=lambda rule: -means[rule])]
    return _apart_from_text(markdown([["rule", f"{read(name).first.replace('_', ' ')}, training instances"], *rows]))


def _difference(name: str, one: str, other: str, where: str | None = None) -> str:
    return between(_apart(name, one, other, where).estimate, 3, signed=True)


def _primary(name: str) -> str:
    record = read(name)
    # What is resampled for all arms and outcomes takes a while, and decides nothing here.
    if record.declared == PAIRED and record.outcomes[0]["higher_is_better"]:
        return _difference(name, POLICY, max(record.training, key=record.training.__getitem__))
    return _contrast("primary")(name)


def _contrast(which: str) -> Callable[[str], str]:
    def say(name: str) -> str:
        contrast = getattr(_compared(name, None), which)
        if contrast is None:
            raise ValueError(f"the record {name} has nothing to compare as '{which}'")
        return between(contrast.delta, 3, signed=True)

    return say


def _gap(name: str) -> str:
    gap = _compared(name, None).oracle_gap
    if gap is None:
        raise ValueError(f"the record {name} has too few rules for a gap")
    return between(gap, 3, signed=True)


def _outcome(name: str, arm: str, outcome: str) -> str:
    _side(name, arm).reached(outcome)
    found = _compared(name, None).arms[arm][outcome]
    return between(found, _decimals([found]))


WHATS: Mapping[str, Callable[..., str]] = {
    "arms": _arms,
    "by": _by,
    "against": _against,
    "kinds": _kinds,
    "averages": _averages,
    "average": _average,
    "training": _training,
    "difference": _difference,
    "primary": _primary,
    "iqm": _contrast("iqm"),
    "mean": _contrast("mean"),
    "gap": _gap,
    "outcome": _outcome,
    "instances": lambda name: f"{len(read(name).instances):,}",
    "seeds": lambda name: str(len(read(name).policies)),
}


@cache
def _compared(name: str, by: str | None) -> Comparison:
    return read(name).compared(by)


@cache
def _apart(name: str, one: str, other: str, where: str | None = None) -> Stratified:
    """Return the mean difference of two arms, as `paired-mean` takes it; `NAME:ARM` is of another record.

    `where` is a word of the tags and what it is to be, such as `host=narrow,pointwise`; all instances count without it.
    """
    record = read(name)
    another, _, arm = other.rpartition(":")
    chosen = list(range(len(record.instances)))
    if where is not None:
        word, _, texts = where.partition("=")
        if lost := set(texts.split(",")) - set(record.tags.get(word, ())):
            raise ValueError(f"the record {name} has no {word} that is {', '.join(sorted(lost))}")
        chosen = [i for i in chosen if record.tags[word][i] in texts.split(",")]
    return paired(_side(name, one), _side(another or name, arm), chosen)


def _side(name: str, arm: str) -> Side:
    return Side(f"the record {name}", read(name), arm)


def _named(name: str, some: str) -> list[str]:
    """Return the arms that are named, all of which the record has."""
    arms = some.split(",")
    for arm in arms:
        _side(name, arm).reached()
    return arms


# As text ------------------------------------------------------------------------------------------------------------


def _apart_from_text(table: str) -> str:
    return f"\n\n{table}\n\n"


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
    return _apart_from_text(markdown([header, *zip(*cells, strict=True)]))


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; its first row is the header."""
    return "\n".join(f"| {' | '.join(row)} |" for row in [rows[0], ["---"] * len(rows[0]), *rows[1:]])


def _decimals(estimates: Iterable[Estimate]) -> int:
    largest = max(abs(estimate.value) for estimate in estimates)
    return 0 if largest >= 1000 else 1 if largest >= 10 else 3


def between(estimate: Estimate, decimals: int, *, signed: bool = False) -> str:
    """Return a number with its interval."""
    value = f"{estimate.value:{'+' if signed else ''},.{decimals}f}"
    return minus(f"{value} [{estimate.low:,.{decimals}f}, {estimate.high:,.{decimals}f}]")


def minus(text: str) -> str:
    """Return a number with the sign that is one."""
    return text.replace("-", "\N{MINUS SIGN}")


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
    text = page.read_text(encoding="utf-8")
    check_markers(text, page.relative_to(ROOT))
    for found in BLOCK.finditer(text):
        yield Block(page, found["name"], found["what"], found["text"])


def check_markers(text: str, page: Path) -> None:
    """Raise ValueError where a marker begins or ends no block: it would be no quote, or take in what follows."""
    quoted = {at for found in BLOCK.finditer(text) for at in (found.start(), found.start("end"))}
    for marker in MARKER.finditer(text):
        if marker["half"] and marker.start() not in quoted:
            line = text.count("\n", 0, marker.start()) + 1
            raise ValueError(
                f"{page}, line {line}: '{text[marker.start() :].splitlines()[0]:.60}' is not half of a quote"
            )


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
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--write", action="store_true", help="put into the pages what the records say")
    either.add_argument("--keep", nargs=2, metavar=("DOCUMENT", "NAME"), help="keep an evaluation under a name")
    either.add_argument("--figure", nargs=2, metavar=("NAME", "PNG"), help="draw the comparison of a record")
    chosen = parser.parse_args()
    if chosen.figure:
        name, path = chosen.figure
        if Path(path).suffix != ".png":
            parser.error(f"{path} is not a .png")
        draw(_compared(name, None), [arm.name for arm in OWN if arm.learned], Path(path))
    elif chosen.keep:
        document, name = chosen.keep
        if not NAME.fullmatch(name) or name in ACROSS:
            parser.error(f"no page could quote a record '{name}': words and dashes, and not {', '.join(ACROSS)}")
        path = keep(measured(read_json(Path(document))), name)
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")
    else:
        _compare(chosen.write)


def _compare(write: bool) -> None:
    """Say of every quote whether it is as recorded; write the pages, or end in an error where one is not."""
    wrong, changed = 0, {}
    for page in pages():
        shown = page.relative_to(ROOT)
        for block in blocks(page):
            try:
                expected = said(block.name, block.what)
            except ValueError as error:
                raise ValueError(f"{shown}, 'kept {block.name} {block.what}': {error}") from error
            agrees = block.text == expected
            wrong += not agrees
            print(f"{shown}: {block.name} {block.what}: {'as recorded' if agrees else expected.strip()}")
        text = page.read_text(encoding="utf-8")
        if rewritten(text) != text:
            changed[page] = rewritten(text)
    if wrong and not write:
        sys.exit(f"{wrong} numbers are not those of the records; --write puts them right.")
    for page, text in changed.items():
        page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
