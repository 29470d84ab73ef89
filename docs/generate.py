"""Write the pages that follow from the code: one per kind of component, and the hooks.

    python docs/generate.py            # or: make docs
    python docs/generate.py --check    # fails where a page is not what the code says

Only what the repository brings is written down, whatever else is installed.
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
import textwrap
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from esper_core.contracts import protocols
from esper_core.contracts.components import ComponentSpec, KindSpec
from esper_core.registry import hookspecs
from esper_core.registry.index import Index, load_index
from esper_core.registry.references import load_reference
from esper_core.testing.conformance.run import suites_of
from esper_core.testing.conformance.suite import BUILT, Suite

DOCS = Path(__file__).parent
VALUES = ("Features", "Masks", "NetworkOutput", "Values", "LossResult", "Build")
"""What components hand to each other."""

NOTE = "<!-- Written by docs/generate.py from the code; change the docstrings there. -->"


def pages() -> dict[Path, str]:
    """Return path → text of every generated page."""
    index = own_index()
    found = {DOCS / "kinds" / "README.md": overview(index), DOCS / "hooks.md": hooks()}
    for kind in index.kinds.values():
        found[DOCS / "kinds" / f"{kind.name}.md"] = kind_page(kind, index)
    return found


def own_index() -> Index:
    """Return the index of the core and the plugins of this repository."""
    texts = [path.read_text(encoding="utf-8") for path in DOCS.parent.glob("plugins/*/pyproject.toml")]
    return load_index(only=[tomllib.loads(text)["project"]["name"] for text in texts])


def overview(index: Index) -> str:
    """Return the page that lists all kinds, and what is the same for each."""
    rows = [(f"[{k.name}]({k.name}.md)", k.summary, owner(k, index)) for k in index.kinds.values()]
    (common, *_) = suites_of(next(iter(index.kinds.values())))
    return document(
        "# Kinds of components",
        NOTE,
        paragraph(
            "A component is made by a factory, called as `factory(config, context)`: `config` is an instance of its "
            "attrs class, `context` a `Build`, which says what it is built into. A component of a kind that no plan "
            "holds, such as a spike, may be given None for a context."
        ),
        table(("kind", "what it is", "declared by"), rows),
        "## What is checked of every component",
        paragraph(
            f"`esper plugins check NAME` runs these checks, then those of the component's kind. Without `{BUILT}` "
            "nothing can be said about a kind's own."
        ),
        checks(common),
        "## What components hand to each other",
        *(value(name) for name in VALUES),
    )


def kind_page(kind: KindSpec, index: Index) -> str:
    """Return the page of one kind."""
    protocol = load_reference(kind.protocol, kind.name)
    *_, suite = suites_of(kind)
    components = [(f"`{c.name}`", f"`{c.distribution}`", c.spec.summary) for c in index.of_kind(kind.name)]
    start = (
        f"Start from one that works: `esper plugins new my-{kind.name} --kind {kind.name}`." if kind.template else ""
    )
    return document(
        f"# {kind.name}",
        NOTE,
        paragraph(f"{kind.summary[:1].upper()}{kind.summary[1:]}. Declared by {owner(kind, index)}. {start}"),
        "## Protocol",
        f"`{kind.protocol}`",
        docstring(protocol),
        *members(protocol),
        "## Checks",
        paragraph(
            "After [the checks of every component](README.md#what-is-checked-of-every-component), "
            f"`esper plugins check` runs these {len(suite.declared)}:"
        ),
        checks(suite),
        "## Components here",
        table(("name", "distribution", "what it is"), components) if components else "None.",
    )


def hooks() -> str:
    """Return the page of the hooks."""
    found = {name: f for name, f in vars(hookspecs).items() if hasattr(f, f"{hookspecs.PROJECT}_spec")}
    return document(
        "# Hooks",
        NOTE,
        paragraph(
            f"A plugin is a module named by an entry point of the group `{hookspecs.ENTRY_POINT_GROUP}`. It implements "
            "one or both of these hooks as plain functions marked with `@esper_core.hookimpl`. They are called once, "
            "without parameters; no behaviour depends on their order. Importing the module must import nothing heavy."
        ),
        *(f"## {name}\n\n{code(signature(function))}\n\n{docstring(function)}" for name, function in found.items()),
        "## What they yield",
        *(f"### {cls.__name__}\n\n{docstring(cls)}" for cls in (ComponentSpec, KindSpec)),
    )


def owner(kind: KindSpec, index: Index) -> str:
    """Return the distribution that declares a kind."""
    return next(f"`{record.distribution}`" for record in index.plugins if kind.name in record.kinds)


def checks(suite: Suite) -> str:
    """Return the table of a suite's checks."""
    rows = []
    for check in suite.checks:
        after = ", ".join(f"`{name}`" for name in check.after if name != BUILT)
        rows.append((f"`{check.name}`", claimed(check.summary, check.claim), after))
    return table(("check", "what must be true", "after"), rows)


def claimed(summary: str, claim: str | None) -> str:
    """Return a summary that says for whom it is."""
    return f"{summary} Only for a component that provides `{claim}`." if claim else summary


def members(protocol: type) -> Iterator[str]:
    """Yield the methods that a protocol asks for."""
    for name, member in vars(protocol).items():
        if inspect.isfunction(member) and (name == "__call__" or not name.startswith("_")):
            yield f"{code(signature(member))}\n\n{docstring(member)}"


def value(name: str) -> str:
    """Return the section of something that components hand to each other."""
    return f"### {name}\n\n{docstring(getattr(protocols, name))}"


def signature(function: Callable[..., Any]) -> str:
    """Return the first line of a function's definition, as written."""
    return f"def {function.__name__}{str(inspect.signature(function)).replace(chr(39), '')}"


def code(text: str) -> str:
    """Return a block of Python."""
    return f"```python\n{text}\n```"


def docstring(thing: Any) -> str:
    """Return a docstring as Markdown: sections become bold words, their entries lists."""
    lines: list[str] = []
    in_section = False
    for line in (inspect.getdoc(thing) or "").splitlines():
        if line in ("Args:", "Attributes:", "Raises:", "Returns:"):
            lines += [f"**{line[:-1]}**", ""]
            in_section = True
        elif in_section and line.startswith("    ") and not line.startswith("     "):
            name, colon, meaning = line.strip().partition(": ")
            lines.append(f"- `{name}`: {meaning}" if colon else f"- {line.strip()}")
        else:
            lines.append(f"  {line.strip()}" if in_section and line else line)
    return "\n".join(lines).strip()


def table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, tuple("---" for _ in header), *rows))


def paragraph(text: str) -> str:
    """Return a text in lines of readable length; what stands between backticks stays in one."""
    glued = re.sub("`[^`]*`", lambda code: code[0].replace(" ", "\N{NO-BREAK SPACE}"), text)
    lines = textwrap.fill(glued, 120, break_long_words=False, break_on_hyphens=False)
    return lines.replace("\N{NO-BREAK SPACE}", " ")


def document(*blocks: str) -> str:
    """Return blocks as one text."""
    return "\n\n".join(filter(None, blocks)) + "\n"


def main() -> int:
    """Write the pages, or compare them."""
    parser = argparse.ArgumentParser(description="Write the pages that follow from the code.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a page is not current")
    check = parser.parse_args().check
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text("utf-8") != text]
    for path in stale:
        print(("not current: " if check else "written: ") + str(path.relative_to(DOCS.parent)))
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(pages()[path], encoding="utf-8")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
