"""Fewer lines for the same steps."""

from __future__ import annotations

import ast
from collections.abc import Collection, Sequence

WIDTH = 56
"""Characters of an expression at most; beyond that its parts keep names of their own."""


def shortened(body: Sequence[ast.stmt], fixed: Collection[str]) -> list[ast.stmt]:
    """Put expressions that are used once where they are used, unless that gets long, and leave out what nobody uses.

    Args:
        body: Steps without any that changes a value in place.
        fixed: Names whose expressions keep a line of their own.
    """
    kept: list[ast.stmt] = []
    pending: dict[str, ast.expr] = {}
    body = _needed(body)
    uses = _uses(body)
    for statement in body:
        changed = _Inline(pending).visit(statement)
        if isinstance(changed, ast.Assign) and isinstance(changed.targets[0], ast.Name):
            name, value = changed.targets[0].id, changed.value
            if uses[name] == 1 and name not in fixed and len(ast.unparse(value)) <= WIDTH:
                pending[name] = value
                continue
        kept.append(changed)
    return _returned(kept)


def _returned(body: list[ast.stmt]) -> list[ast.stmt]:
    """Return steps whose last gives back what the one before it is called, as one step."""
    if len(body) < 2 or not isinstance(body[-1], ast.Return) or not isinstance(body[-2], ast.Assign):
        return body
    (name,), value = body[-2].targets, body[-1].value
    same = isinstance(name, ast.Name) and isinstance(value, ast.Name) and name.id == value.id
    return [*body[:-2], ast.Return(body[-2].value)] if same else body


def _needed(body: Sequence[ast.stmt]) -> list[ast.stmt]:
    """Return the steps whose results reach the last one."""
    used: set[str] = set()
    kept = []
    for statement in reversed(body):
        names = {target.id for target in getattr(statement, "targets", ()) if isinstance(target, ast.Name)}
        if names and not names & used:
            continue
        used |= set(_uses([statement]))
        kept.append(statement)
    return kept[::-1]


class _Inline(ast.NodeTransformer):
    """Replaces names by the expressions that they stand for."""

    def __init__(self, pending: dict[str, ast.expr]) -> None:
        self.pending = pending

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self.pending.pop(node.id) if isinstance(node.ctx, ast.Load) and node.id in self.pending else node


def _uses(body: Sequence[ast.stmt]) -> dict[str, int]:
    uses: dict[str, int] = {}
    for statement in body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                uses[node.id] = uses.get(node.id, 0) + 1
    return uses
