"""The page of the hooks."""

from __future__ import annotations

from docs.generate.markdown import NOTE, code, docstring, document, paragraph, signature
from esper_core.contracts.components import ComponentSpec, KindSpec
from esper_core.registry import hookspecs


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
