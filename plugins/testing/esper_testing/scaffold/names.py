"""The name of a new plugin, in its three spellings, and what it must not be."""

from __future__ import annotations

import builtins
import importlib.util
import keyword
import re
import sys
from importlib import metadata

from attrs import frozen

from esper_core.composition.recipes import Recipes
from esper_core.contracts.components import normalise_name
from esper_core.contracts.errors import UserError
from esper_core.registry.index import Index
from esper_core.registry.reserved import COMMAND

_KEBAB = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

PLACEHOLDERS = ("example", "my-plugin", "name", "plugin", "plugin-name")
"""Names that stand for a name: two plugins that keep one cannot be installed side by side."""

FOLDERS = ("build", "dist", "docs", "runs", "src", "tests")
"""What the folder of a distribution holds besides its package."""

TEST_SUPPORT = "conftest"
"""The module in which pytest looks for fixtures; a package of that name would hide it."""


@frozen
class PluginName:
    """One name as distribution, plugin and component, as module, and as class."""

    kebab: str

    @property
    def module(self) -> str:
        """The name of the package: `my_net`."""
        return self.kebab.replace("-", "_")

    @property
    def class_name(self) -> str:
        """The name of the class: `MyNet`."""
        return "".join(part.capitalize() for part in self.kebab.split("-"))


def parse_name(text: str) -> PluginName:
    """Read a name; raises UserError, with a suggestion, when it is not kebab-case or stands for something else."""
    if not _KEBAB.fullmatch(text):
        words = re.sub(r"[^a-z0-9]+", "-", _HUMP.sub("-", text).lower())
        near = re.sub(r"^[0-9-]+", "", words).rstrip("-")
        suggestion = f" Did you mean '{near}'?" if near and not _taken_meaning(PluginName(near)) else ""
        raise UserError(
            f"'{text}' is not a name for a plugin.{suggestion}",
            hint="Names are kebab-case: lower-case words, joined by dashes, such as my-net.",
        )
    name = PluginName(text)
    meaning = _taken_meaning(name)
    if meaning:
        raise _refused(text, meaning)
    return name


def _taken_meaning(name: PluginName) -> str:
    """Return what one of the spellings of a name means whatever is installed; empty when it means nothing."""
    if name.kebab in PLACEHOLDERS:
        return "it stands for a name, and is none"
    if name.kebab in FOLDERS:
        return f"the folder '{name.kebab}' of a distribution is for something else"
    if name.module == TEST_SUPPORT:
        return f"pytest looks for fixtures in the module '{TEST_SUPPORT}'"
    for spelling, what in ((name.module, "package"), (name.class_name, "class")):
        if keyword.iskeyword(spelling) or keyword.issoftkeyword(spelling):
            return f"its {what} would be called '{spelling}', which is a word of Python's"
        if hasattr(builtins, spelling):
            return f"its {what} would be called '{spelling}', which is built into Python"
    return ""


def check_free(name: PluginName, kind: str, index: Index, recipes: Recipes) -> None:
    """Check that nothing installed goes by the name; raises UserError that says what does."""
    for record in index.plugins:
        if name.kebab in (normalise_name(record.plugin), normalise_name(record.distribution)):
            raise _refused(name.kebab, f"the plugin '{record.plugin}' ({record.distribution}) has it already")
    for component in index.of_kind(kind):
        if name.kebab in (component.name, *map(normalise_name, component.spec.aliases)):
            raise _refused(name.kebab, f"there is the {component} already")
    for command in index.commands:
        if kind == COMMAND and name.kebab == command.spec.name:
            raise _refused(name.kebab, f"there is the {command} already")
    if kind == "network" and name.kebab in recipes.policies:
        raise _refused(name.kebab, "registry.toml has a recipe of that name, which `--policy` would mean")
    if name.module in sys.stdlib_module_names or _is_installed(name.module):
        raise _refused(name.kebab, f"`import {name.module}` means something else already")
    try:
        installed = metadata.distribution(name.kebab)
    except metadata.PackageNotFoundError:
        return
    raise _refused(
        name.kebab, f"the distribution '{name.kebab}' {installed.version} is installed and would be replaced"
    )


def _is_installed(module: str) -> bool:
    found = importlib.util.find_spec(module)
    # Any folder on the path can be imported, as a namespace. It is a package when a distribution says so.
    return found is not None and (found.origin is not None or module in metadata.packages_distributions())


def _refused(name: str, reason: str) -> UserError:
    return UserError(f"A plugin cannot be called '{name}': {reason}.", hint="Choose another name, such as my-net.")
