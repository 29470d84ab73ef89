"""Templates: real distributions, each of a plugin called `my-KIND`, that become new ones under another name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from importlib import import_module, resources
from importlib.resources.abc import Traversable

from attrs import frozen

from esper_core.contracts.components import KindSpec
from esper_core.contracts.errors import PluginError, UserError
from esper_core.contracts.foreign import guarded
from esper_core.registry.reserved import COMMAND
from esper_testing.scaffold.names import PluginName

COMMON = "esper_testing.templates:common"
"""What every new plugin gets, whatever its kind."""

COMMANDS = KindSpec(
    name=COMMAND,
    protocol="esper_core.contracts.commands:CommandSpec",
    template="esper_testing.templates:command",
    summary="a command of esper, such as `esper my-command`",
)
"""Commands are not a kind of component, but begin with a template all the same."""

LEFT_BEHIND = re.compile(r"__pycache__|build|.*\.egg-info|\..*_cache")
"""What lies beside the files of a template once it was used where it is."""


@frozen
class Template:
    """The files of a plugin called `my-KIND`.

    Attributes:
        files: Path within the distribution → content.
    """

    name: PluginName
    files: Mapping[str, bytes]

    def renamed(self, name: PluginName) -> dict[str, bytes]:
        """Return the files under another name.

        Raises:
            UserError: the new name already means something in these files.
            PluginError: a module among them is not Python.
        """
        spellings = {self.name.kebab: name.kebab, self.name.module: name.module, self.name.class_name: name.class_name}
        # In one pass, so that what was put in is never replaced again.
        old = re.compile("|".join(map(re.escape, spellings)).encode())

        def new(match: re.Match[bytes]) -> bytes:
            return spellings[match[0].decode()].encode()

        words = {word for path, content in self.files.items() if path.endswith(".py") for word in _bound(path, content)}
        changed = {word: old.sub(new, word.encode()).decode() for word in words if old.search(word.encode())}
        for spelling in sorted({name.class_name, name.module, *changed.values()} & (words - {*changed})):
            raise UserError(
                f"A plugin cannot be called '{name.kebab}': its code would define '{spelling}' twice.",
                hint="Choose another name, such as my-net.",
            )
        return {old.sub(new, path.encode()).decode(): old.sub(new, content) for path, content in self.files.items()}


def load_template(kind: KindSpec) -> Template:
    """Read the template of a kind.

    Raises:
        UserError: the kind has none.
        PluginError: it has one that is not there.
    """
    if not kind.template:
        raise UserError(
            f"The kind '{kind.name}' has no template to begin with.",
            hint=f"Write the plugin by hand; what it must return is {kind.protocol}. "
            "Whoever declares the kind can set `template` in its KindSpec.",
        )
    name = PluginName(f"my-{kind.name}")
    files = dict(_files(_folder(COMMON))) | dict(_files(_folder(kind.template)))
    if not any(path.startswith(f"{name.module}/") for path in files):
        raise PluginError(
            f"The template {kind.template} of the kind '{kind.name}' holds no package '{name.module}'.",
            hint="Report this to the author of the kind.",
        )
    return Template(name, files)


def _folder(reference: str) -> Traversable:
    package, _, folder = reference.partition(":")
    with guarded(f"The template {reference}", f"importing {package}", hint="Report this to the author of the kind."):
        found = resources.files(import_module(package)) / folder
    if not found.is_dir():
        raise PluginError(
            f"The template {reference} is missing: {package} has no folder '{folder}'.",
            hint="Report this to the author of the kind.",
        )
    return found


def _files(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, bytes]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if LEFT_BEHIND.fullmatch(entry.name):
            continue
        if entry.is_dir():
            yield from _files(entry, f"{prefix}{entry.name}/")
        else:
            yield f"{prefix}{entry.name}", entry.read_bytes()


def _bound(path: str, content: bytes) -> Iterator[str]:
    """Yield the names that a module imports or defines; raises PluginError."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError) as error:
        raise PluginError(
            f"The template's {path} is not Python: {error}.", hint="Report this to the author of the kind."
        ) from error
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)
