"""Uses of a definition: by name in its own module, elsewhere only through imports from there."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from attrs import define

from esper_spike_dynamic_slots.source import Definition, Module, Sources
from esper_testing.spikes.verdict import Place

OPTION = "config."
"""How an option is read: `config.name`."""


@define(eq=False)
class Consumers:
    """Looks for uses in the packages of a plan."""

    sources: Sources

    def find(self, definition: Definition, name: str) -> list[Place]:
        """Return every line that uses a name.

        Args:
            definition: What stands at the top of a module: what is named, or what the name stands in.
            name: Its own name; that of an attribute or variable within it; or `config.` and that of an option of it.
        """
        if name.startswith(OPTION):
            return self._readers(definition, name)
        found: list[Place] = []
        for module in (module for modules in self.sources.modules.values() for module in modules):
            if name == definition.name:
                lines = set(self._users(definition, module))
            elif module.name == definition.module.name:
                lines = set(_own_uses(definition, name))
            elif any(True for _ in self._users(definition, module)):
                lines = {line for line, attribute, _ in _attributes(module.tree) if attribute == name}
            else:
                lines = set()
            found += [module.place(line) for line in sorted(lines)]
        return found

    def _readers(self, definition: Definition, name: str) -> list[Place]:
        """Return the lines that read an option, in what the components with these options are made of."""
        target = (definition.module.name, definition.name)
        modules: dict[str, Module] = {}
        for component in self.sources.components:
            module, _, attribute = component.spec.config.partition(":")
            if self.sources.origin(module, attribute) == target:
                modules |= {d.module.name: d.module for d in self.sources.reachable(component)}
        return [
            module.place(line)
            for module in modules.values()
            for line in sorted(
                {line for line, attribute, of in _attributes(module.tree) if f"{of}.{attribute}" == name}
            )
        ]

    def _users(self, definition: Definition, module: Module) -> Iterator[int]:
        """Yield the lines of a module that name a definition."""
        target = (definition.module.name, definition.name)
        if module.name == definition.module.name:
            yield from _loads(module.tree, definition.name)
            return
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ImportFrom):
                source = module.absolute(node)
                yield from (a.lineno for a in node.names if self.sources.origin(source, a.name) == target)
            elif isinstance(node, ast.Name) and self._meaning(module, node.id) == target:
                yield node.lineno
            elif isinstance(node, ast.Attribute) and self._meaning(module, _dotted(node)) == target:
                yield node.end_lineno or node.lineno

    def _meaning(self, module: Module, dotted: str) -> tuple[str, str]:
        """Return where something that a module calls `a.b.c` is defined; two empty texts when that is not known."""
        parts = dotted.split(".")
        for length in range(len(parts), 0, -1):
            local, rest = ".".join(parts[:length]), parts[length:]
            if local in module.imports:
                source, name = module.imports[local]
                path = [*source.split("."), *([name] if name else []), *rest]
                return self.sources.origin(".".join(path[:-1]), path[-1])
        if len(parts) == 1 and dotted not in module.definitions:
            return self.sources.origin(module.name, dotted)
        return "", ""


def _own_uses(definition: Definition, name: str) -> Iterator[int]:
    """Yield the lines of its own module that use a name within a definition, or an attribute of it."""
    for node in ast.walk(definition.node):
        if isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load):
            yield node.lineno
    yield from (line for line, attribute, _ in _attributes(definition.node) if attribute == name)
    for line, attribute, of in _attributes(definition.module.tree):
        if (of, attribute) == (definition.name, name):
            yield line


def _attributes(tree: ast.AST) -> Iterator[tuple[int, str, str]]:
    """Yield line, name and the last name of the owner of every attribute that is used."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.end_lineno or node.lineno, node.attr, _dotted(node.value).rpartition(".")[2]


def _loads(tree: ast.AST, name: str) -> Iterator[int]:
    """Yield the lines that read a name, leaving out functions in which it is another one: an argument or a variable."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load):
            yield node.lineno
        if not (isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and _binds(node, name)):
            yield from _loads(node, name)


def _binds(function: ast.AST, name: str) -> bool:
    return any(
        (isinstance(node, ast.arg) and node.arg == name)
        or (isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store))
        for node in ast.walk(function)
    )


def _dotted(node: ast.expr) -> str:
    """Return `a.b.c` for such an expression; of any other all that follows its last call or index."""
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""
