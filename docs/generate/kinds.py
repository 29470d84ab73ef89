"""The pages of the kinds: one each, and one with the hooks and what is the same for all kinds."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from docs.generate.markdown import NOTE, code, docstring, document, paragraph, signature, table
from esper_core.contracts import protocols
from esper_core.contracts.commands import CommandSpec
from esper_core.contracts.components import ComponentSpec, KindSpec
from esper_core.registry import hookspecs
from esper_core.registry.index import Index
from esper_core.registry.references import load_reference
from esper_testing.conformance.run import suites_of
from esper_testing.conformance.suite import BUILT, Suite

VALUES = ("Features", "Masks", "NetworkOutput", "Values", "LossResult", "BuildContext")
"""What components hand to each other."""


def overview(index: Index) -> str:
    """Return the page of the hooks, which lists all kinds, and what is the same for each."""
    rows = [(f"[{k.name}]({k.name}.md)", k.summary, owner(k, index)) for k in index.kinds.values()]
    (common, *_) = suites_of(next(iter(index.kinds.values())))
    hooks = {name: f for name, f in vars(hookspecs).items() if hasattr(f, f"{hookspecs.PROJECT}_spec")}
    return document(
        "# Hooks and kinds of components",
        NOTE,
        paragraph(
            f"A plugin is a module named by an entry point of the group `{hookspecs.ENTRY_POINT_GROUP}`. It implements "
            "one or more of the hooks below as plain functions marked with `@esper_core.hookimpl`. Each is called "
            "once, without arguments, and no behaviour depends on their order. Importing the module must import "
            "nothing heavy, such as torch."
        ),
        "## Kinds",
        table(("kind", "what it is", "declared by"), rows),
        paragraph(
            "A component of a kind is made by a factory, called as `factory(config, context)`. `config` is an instance "
            "of its attrs class. `context` is a [`BuildContext`](#buildcontext), which describes what it is built "
            "into; it is None for kinds that no plan holds, such as a spike."
        ),
        "## Hooks",
        *(f"### {name}\n\n{code(signature(function))}\n\n{docstring(function)}" for name, function in hooks.items()),
        "## What hooks return",
        *(f"### {cls.__name__}\n\n{docstring(cls)}" for cls in (KindSpec, ComponentSpec, CommandSpec)),
        "## What is checked of every component",
        paragraph(
            f"`esper plugins check NAME` runs these checks, then those of the component's kind. When `{BUILT}` fails, "
            "the kind's own checks cannot run."
        ),
        checks(common),
        "## What components pass to each other",
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
