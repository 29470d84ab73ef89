"""Imports point one way: no circle, none up the floors, none of a distribution that is not declared.

Imports are read, not run: those within functions and under TYPE_CHECKING count like any other.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from esper_core.contracts.components import normalise_name

ROOT = Path(__file__).parents[1]
PYPROJECTS = [ROOT / "pyproject.toml", *sorted(ROOT.glob("plugins/*/pyproject.toml"))]
PACKAGES = {file.parent.name: path for path in PYPROJECTS for file in path.parent.glob("esper_*/__init__.py")}

BRINGS = {**packages_distributions(), **{name: [name] for name in PACKAGES}}
"""Distributions by the packages they bring."""

FLOORS = {
    "contracts": "",
    "system": "contracts",
    "registry": "contracts system",
    "policy": "contracts system",
    "composition": "contracts system registry",
    "diagnosis": "contracts system registry composition",
    "learning": "contracts system registry composition policy",
    "runs": "contracts system registry composition policy learning",
    "ranks": "contracts system registry composition policy learning runs",
    "api": "contracts system registry composition diagnosis policy learning runs ranks",
    "cli": "api contracts system registry composition diagnosis policy learning runs ranks",
    "esper_core": "api contracts system registry composition runs",  # what plugins import by its short name
    "builtin": "contracts system policy learning runs esper_core",  # a plugin like any other, but for where it lies
}
"""The floors of esper_core, low to high: which others each may import."""

FUSED = "esper_growth.fused."
"""Whose modules may import one another in a circle."""

Graph = Mapping[str, Collection[str]]


def modules(folder: Path) -> dict[str, Path]:
    """Return a package's modules by name; the packages within templates are none of its own."""
    files = (path.relative_to(folder.parent) for path in sorted(folder.rglob("*.py")))
    own = (path for path in files if "templates" not in path.parts[:-2])
    return {".".join(path.with_suffix("").parts).removesuffix(".__init__"): folder.parent / path for path in own}


@cache
def imported(path: Path) -> tuple[tuple[str, str], ...]:
    """Return what a file imports anywhere in it: module and name, or an empty one."""
    return tuple(_imported(path))


def _imported(path: Path) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno} imports by a relative name"
            yield from ((str(node.module), alias.name) for alias in node.names)


def graph_of(files: Mapping[str, Path]) -> Graph:
    """Return which of the modules each imports."""
    found = {}
    for name, path in files.items():
        wanted = (f"{module}.{entry}" if f"{module}.{entry}" in files else module for module, entry in imported(path))
        found[name] = {module for module in wanted if module in files}
    return found


def circles(graph: Graph) -> list[list[str]]:
    """Return the sets of nodes that reach one another, sorted."""
    reached = {start: reach(graph, start) for start in graph}
    groups = {
        frozenset({n for n in reached[start] if start in reached[n]}) for start in graph if start in reached[start]
    }
    return sorted(sorted(group) for group in groups)


def reach(graph: Graph, start: str) -> set[str]:
    """Return what is reached from a node in one step or more."""
    found: set[str] = set()
    ahead = [*graph[start]]
    while ahead:
        node = ahead.pop()
        if node not in found:
            found.add(node)
            ahead += graph[node]
    return found


def grouped(graph: Graph, group: Callable[[str], str]) -> dict[str, set[str]]:
    """Return which groups the modules of each import, other than their own."""
    found: dict[str, set[str]] = {}
    for name, others in graph.items():
        found.setdefault(group(name), set()).update({*map(group, others)} - {group(name)})
    return found


def floor(module: str) -> str:
    """Return the floor of esper_core that a module lies on."""
    return module.split(".")[1] if "." in module else "esper_core"


def declared(project: Mapping[str, object]) -> set[str]:
    """Return the distributions that a pyproject names, extras included."""
    extras: Iterable[list[str]] = project.get("optional-dependencies", {}).values()  # type: ignore[attr-defined]
    lines = [*project.get("dependencies", ()), *(line for extra in extras for line in extra)]  # type: ignore[misc]
    return {normalise_name(re.match(r"[\w.-]+", line)[0]) for line in lines}  # type: ignore[index]


@pytest.fixture(scope="module")
def graph() -> Graph:
    return graph_of({name: path for p in PACKAGES for name, path in modules(PACKAGES[p].parent / p).items()})


def test_no_module_imports_itself_by_way_of_others(graph: Graph) -> None:
    found = circles(graph)
    fused = [circle for circle in found if all(name.startswith(FUSED) for name in circle)]
    assert fused, "there is no exception any more: drop it"
    assert [circle for circle in found if circle not in fused] == []


def test_no_distribution_imports_itself_by_way_of_others(graph: Graph) -> None:
    assert circles(grouped(graph, lambda name: name.partition(".")[0])) == []


def test_the_floors_point_down(graph: Graph) -> None:
    core = {name: others for name, others in graph.items() if name.partition(".")[0] == "esper_core"}
    up = [
        f"{name} imports {other}"
        for name, others in core.items()
        for other in others
        if floor(other) not in {floor(name), *FLOORS[floor(name)].split()}  # a KeyError: a floor without a row
    ]
    assert up == []
    assert circles({name: allowed.split() for name, allowed in FLOORS.items()}) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_a_distribution_names_all_that_it_imports(package: str) -> None:
    project = tomllib.loads(PACKAGES[package].read_text())["project"]
    known = {*declared(project), normalise_name(package)}
    foreign = {
        f"{name} imports {top}"
        for name, path in modules(PACKAGES[package].parent / package).items()
        for top in {module.partition(".")[0] for module, _ in imported(path)}
        if top not in sys.stdlib_module_names and not known & set(map(normalise_name, BRINGS.get(top, [top])))
    }
    assert foreign == set()


@pytest.mark.parametrize(
    "code",
    ["import b", "from b import x", "def f():\n    import b", "if TYPE_CHECKING:\n    from b import x"],
)
def test_every_way_to_import_is_seen(tmp_path: Path, code: str) -> None:
    files = {"a": tmp_path / "a.py", "b": tmp_path / "b.py", "c": tmp_path / "c.py"}
    files["a"].write_text(code)
    files["b"].write_text("import c\n")
    files["c"].write_text("import a.d\nfrom a import b\nimport a\n")
    assert circles(graph_of(files)) == [["a", "b", "c"]]
