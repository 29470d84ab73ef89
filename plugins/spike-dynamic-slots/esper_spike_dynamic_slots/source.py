"""Reading the source of plugins without running it: modules, definitions and what a component is made of."""

from __future__ import annotations

import ast
import importlib.util
from collections import deque
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

from attrs import define, field, frozen

from esper_core.registry.index import Component
from esper_testing.spikes.verdict import Place

CORE = "esper_core"


@define(eq=False)
class Module:
    """A parsed source file; `name` is dotted."""

    name: str
    file: Path

    @cached_property
    def lines(self) -> list[str]:
        """Its text, line by line."""
        return self.file.read_text(encoding="utf-8").splitlines()

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax tree."""
        return ast.parse("\n".join(self.lines))

    @cached_property
    def definitions(self) -> dict[str, ast.stmt]:
        """What it defines at its top: name → class, function or assignment."""
        found: dict[str, ast.stmt] = {}
        for node in _top(self.tree.body):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                found[node.name] = node
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                found |= {n.id: node for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)}
        return found

    @cached_property
    def imports(self) -> dict[str, tuple[str, str]]:
        """What it imports: local name → module and name there, which is empty for the module itself."""
        found: dict[str, tuple[str, str]] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found |= {(a.asname or a.name): (a.name, "") for a in node.names}
            elif isinstance(node, ast.ImportFrom):
                source = self.absolute(node)
                found |= {(a.asname or a.name): (source, a.name) for a in node.names}
        return found

    @cached_property
    def stars(self) -> list[str]:
        """Modules of which it imports everything."""
        nodes = [node for node in ast.walk(self.tree) if isinstance(node, ast.ImportFrom)]
        return [self.absolute(node) for node in nodes if any(alias.name == "*" for alias in node.names)]

    def absolute(self, node: ast.ImportFrom) -> str:
        """Return the name of the module that something is imported from."""
        if not node.level:
            return node.module or ""
        parts = self.name.split(".")
        package = parts if self.file.name == "__init__.py" else parts[:-1]
        return ".".join([*package[: len(package) - node.level + 1], *([node.module] if node.module else [])])

    def place(self, line: int) -> Place:
        """Return a line of it."""
        return Place(str(self.file), line, self.lines[line - 1].strip() if 0 < line <= len(self.lines) else "")


@frozen(eq=False)
class Definition:
    """A class, function or assignment at the top of a module."""

    module: Module
    name: str
    node: ast.stmt

    def covers(self, place: Place) -> bool:
        """Return whether a line belongs to it."""
        end = self.node.end_lineno or self.node.lineno
        return str(self.module.file) == place.file and self.node.lineno <= place.line <= end


@define(eq=False)
class Sources:
    """The packages that bring the components of a plan."""

    components: Sequence[Component]
    _modules: dict[str, Module | None] = field(factory=dict, init=False)

    @cached_property
    def modules(self) -> dict[str, list[Module]]:
        """Their packages with all modules of each; of the core only the folder of its own components."""
        return {package: self._modules_of(package) for package in dict.fromkeys(map(_package, self.components))}

    def owners(self, file: str) -> list[Component]:
        """Return the components whose package holds a file."""
        holding = {package for package, modules in self.modules.items() if any(str(m.file) == file for m in modules)}
        return [component for component in self.components if _package(component) in holding]

    def reachable(self, component: Component) -> list[Definition]:
        """Return what a component is made of: its factory first, then what that uses, nearest first.

        Only its own package is looked into, and only names are followed; nothing is imported or run.
        """
        spec, package = component.spec, _package(component)
        references = [reference for reference in (spec.factory, spec.config, spec.describe) if reference]
        waiting = deque(tuple(reference.split(":")) for reference in references)
        found: dict[tuple[str, str], Definition] = {}
        seen = set(waiting)
        while waiting:
            module_name, name = waiting.popleft()
            module = self._module(module_name) if _within(module_name, package) else None
            if module is None:
                continue
            if name in module.imports and name not in module.definitions:
                nexts = [module.imports[name]]
            elif name in module.definitions:
                node = module.definitions[name]
                found[module_name, name] = Definition(module, name, node)
                nexts = list(_names(node, module))
            else:
                continue
            waiting += [pair for pair in dict.fromkeys(nexts) if pair not in seen]
            seen.update(nexts)
        return list(found.values())

    def origin(self, module: str, name: str) -> tuple[str, str]:
        """Return the module in which a name of a module is defined, and its name there, through all re-exports."""
        return self._origin(module, name, set())

    def _origin(self, module: str, name: str, seen: set[tuple[str, str]]) -> tuple[str, str]:
        if (module, name) in seen:
            return module, name
        seen.add((module, name))
        here = self._known.get(module)
        if here is None:
            parent, _, last = module.rpartition(".")
            real = ".".join(self._origin(parent, last, seen)) if parent else module
            return (module, name) if real == module else self._origin(real, name, seen)
        if name in here.imports and name not in here.definitions:
            source, there = here.imports[name]
            return self._origin(source, there, seen) if there else source.rpartition(".")[::2]
        if name not in here.definitions:
            for star in here.stars:
                found = self._origin(star, name, seen)
                if found[0] in self._known and found[1] in self._known[found[0]].definitions:
                    return found
        return module, name

    @cached_property
    def _known(self) -> dict[str, Module]:
        return {module.name: module for modules in self.modules.values() for module in modules}

    def _module(self, name: str) -> Module | None:
        if name not in self._modules:
            try:
                spec = importlib.util.find_spec(name)
            except (ImportError, ValueError):
                spec = None
            source = spec is not None and spec.origin is not None and spec.origin.endswith(".py")
            self._modules[name] = Module(name, Path(spec.origin)) if source and spec and spec.origin else None
        return self._modules[name]

    def _modules_of(self, package: str) -> list[Module]:
        root = self._module(package)
        if root is None:
            return []
        if root.file.name != "__init__.py":
            return [root]
        folder = root.file.parent
        names = {
            path: ".".join([package, *path.relative_to(folder).with_suffix("").parts]) for path in folder.rglob("*.py")
        }
        found = [self._module(name.removesuffix(".__init__")) for _, name in sorted(names.items())]
        return [module for module in found if module is not None]


def _package(component: Component) -> str:
    module = component.spec.factory.partition(":")[0]
    return module.rpartition(".")[0] if module.split(".")[0] == CORE else module.split(".")[0]


def _within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def _top(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements at the top of a module, those behind a condition included."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try):
            yield from _top([*node.body, *node.orelse])


def _names(node: ast.AST, module: Module) -> Iterator[tuple[str, str]]:
    """Yield what a piece of a module refers to, as module and name."""
    for part in ast.walk(node):
        if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id in module.imports:
            source, name = module.imports[part.value.id]
            yield (f"{source}.{name}" if name else source), part.attr
        if isinstance(part, ast.Name):
            if part.id in module.definitions:
                yield module.name, part.id
            elif part.id in module.imports:
                yield module.imports[part.id]
