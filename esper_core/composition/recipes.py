"""registry.toml: named policies and local choices, never discovery. Esper works without one."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

from attrs import field, frozen

from esper_core.composition.config import Option
from esper_core.contracts.components import normalise_name
from esper_core.contracts.errors import DamagedFile, RegistryFileError, did_you_mean
from esper_core.registry.reserved import SETTINGS
from esper_core.system.json_files import read_bytes

FILE_NAME = "registry.toml"
REGISTRY_VARIABLE = "ESPER_REGISTRY"
SCHEMA = 1
LARGEST = 2**20
"""Bytes of the file at most."""

_TABLES = ("schema", "defaults", "policy", "plugins", "resolve")
_HEADER = re.compile(r"\s*\[\[?\s*(?P<path>[^\[\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"""\s*(?P<path>(?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
_PART = re.compile(r"""[\w-]+|"[^"]*"|'[^']*'""")


@frozen
class Recipe:
    """What `--policy NAME` means: the components it is made of, kind → name, and settings of these.

    A value of an option that is a table is either an option of its own or, where `key` names a component of the kind,
    that component's options; which one is known when a plan is made.
    """

    name: str
    uses: Mapping[str, str] = field(factory=dict)
    options: tuple[Option, ...] = ()


@frozen
class Recipes:
    """The content of a registry.toml; without a file, nothing is said.

    Attributes:
        settings: `[defaults]` that are no kinds.
        defaults: `[defaults]` that choose components: kind → name.
        pins: `kind/name` → distribution that provides it.
    """

    path: Path | None = None
    text: str = field(default="", repr=False)
    settings: Mapping[str, Any] = field(factory=dict)
    defaults: Mapping[str, str] = field(factory=dict)
    policies: Mapping[str, Recipe] = field(factory=dict)
    disabled: tuple[str, ...] = ()
    pins: Mapping[str, str] = field(factory=dict)

    def place(self, *keys: str) -> str:
        """Return `file:line` of an entry, such as `place("policy", "lstm-v2", "critic")`."""
        return f"{_shown(self.path)}:{line_of(self.text, keys)}"

    def error(self, keys: tuple[str, ...], message: str, hint: str = "") -> RegistryFileError:
        """Return an error about an entry; its message starts with `file:line:`."""
        return RegistryFileError(f"{self.place(*keys)}: {message}", hint=hint)


def find_registry(explicit: str | Path | None = None) -> Path | None:
    """Return the registry file: the explicit one, `ESPER_REGISTRY`, or the nearest one upward; None without any.

    Raises:
        RegistryFileError: the explicit file or that of `ESPER_REGISTRY` is missing.
    """
    for given, source in ((explicit, "--registry"), (os.environ.get(REGISTRY_VARIABLE), REGISTRY_VARIABLE)):
        if given:
            path = Path(given)
            if not path.is_file():
                raise RegistryFileError(f"{path}: there is no such file, but {source} names it.")
            return path
    here = Path.cwd()
    return next((folder / FILE_NAME for folder in (here, *here.parents) if (folder / FILE_NAME).is_file()), None)


def load_recipes(path: str | Path | None) -> Recipes:
    """Read a registry file; None gives empty recipes. Names are not looked up: see `check_recipes`.

    Raises:
        RegistryFileError: it cannot be read, is not TOML, or has keys or types that it must not have.
    """
    if path is None:
        return Recipes()
    path = Path(path)
    try:
        text = read_bytes(path, LARGEST).decode("utf-8-sig").replace("\r\n", "\n")
        return _Reader(Recipes(path=path, text=text).error).read(tomllib.loads(text), path, text)
    except DamagedFile as error:
        raise RegistryFileError(error.message) from error
    except OSError as error:
        where, reason = "", f"it cannot be read: {error.strerror}"
    except UnicodeDecodeError as error:
        where, reason = f":{error.object[: error.start].count(10) + 1}", "this is not UTF-8 text"
    except RecursionError:
        where, reason = ":1", "it is nested too deeply"
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"\(at line (\d+), column \d+\)", str(error))
        where = f":{found[1] if found else len(text.splitlines())}"
        reason = "this is not TOML: " + re.sub(r"\s*\(at .*\)$", "", str(error))
    except ValueError:
        where, reason = "", "a number in it has more digits than can be read"
    raise RegistryFileError(f"{_shown(path)}{where}: {reason}.")


@frozen
class _Reader:
    """Checks the shape of a file; `error` makes an error about an entry: keys, message, hint."""

    error: Callable[..., RegistryFileError]

    def read(self, content: Mapping[str, Any], path: Path, text: str) -> Recipes:
        self.known((), content, _TABLES)
        if "schema" not in content:
            raise self.error((), "'schema' is missing.", f"Begin the file with: schema = {SCHEMA}")
        if content["schema"] != SCHEMA or isinstance(content["schema"], bool):
            message = f"schema {content['schema']!r} is not supported; this version reads schema {SCHEMA}."
            raise self.error(("schema",), message, "Upgrade esper-core, or write the file for this version.")
        defaults = self.table(("defaults",), content.get("defaults", {}))
        plugins = self.table(("plugins",), content.get("plugins", {}))
        self.known(("plugins",), plugins, ("disabled",))
        disabled, keys = plugins.get("disabled", []), ("plugins", "disabled")
        if not isinstance(disabled, list):
            raise self.error(keys, f"'disabled' must be a list of names, not {disabled!r}.")
        return Recipes(
            path=path,
            text=text,
            settings={key: self.setting(("defaults", key), v) for key, v in defaults.items() if key in SETTINGS},
            defaults=self.names_of_kinds(("defaults",), {k: v for k, v in defaults.items() if k not in SETTINGS}),
            policies=self.policies(self.table(("policy",), content.get("policy", {}))),
            disabled=tuple(self.name(keys, entry) for entry in disabled),
            pins=self.pins(self.table(("resolve",), content.get("resolve", {}))),
        )

    def setting(self, keys: tuple[str, ...], value: Any) -> Any:
        whole = isinstance(value, int) and not isinstance(value, bool)
        if keys[-1] == "slots" and whole:
            return str(value)
        if SETTINGS[keys[-1]] is not int:
            return self.name(keys, value)
        if not whole:
            raise self.error(keys, f"'{keys[-1]}' must be a whole number, not {value!r}.")
        return value

    def names_of_kinds(self, keys: tuple[str, ...], table: Mapping[str, Any]) -> dict[str, str]:
        return {normalise_name(kind): self.name((*keys, kind), value) for kind, value in table.items()}

    def policies(self, table: Mapping[str, Any]) -> dict[str, Recipe]:
        recipes: dict[str, Recipe] = {}
        for written, entry in table.items():
            keys, name = ("policy", written), normalise_name(written)
            if name in recipes:
                raise self.error(keys, f"there is another policy '{name}'; dashes and underscores are the same.")
            entry = self.table(keys, entry)
            uses = self.names_of_kinds(keys, {kind: value for kind, value in entry.items() if kind != "options"})
            options = self.table((*keys, "options"), entry.get("options", {}))
            recipes[name] = Recipe(name, uses, tuple(self.options((*keys, "options"), options)))
        return recipes

    def options(self, keys: tuple[str, ...], table: Mapping[str, Any]) -> Iterator[Option]:
        for kind, entries in table.items():
            if not isinstance(entries, Mapping):
                message = f"'{kind}' must be followed by an option."
                raise self.error((*keys, kind), message, f"Write {kind}.some_option = …")
            yield from (Option(normalise_name(kind), None, key, value) for key, value in entries.items())

    def pins(self, table: Mapping[str, Any]) -> dict[str, str]:
        pins = {}
        for key, value in table.items():
            kind, _, name = map(normalise_name, key.partition("/"))
            if not kind or not name:
                hint = 'Write "network/lstm-v2" = "a-distribution".'
                raise self.error(("resolve", key), f"'{key}' does not read kind/name.", hint)
            pins[f"{kind}/{name}"] = self.name(("resolve", key), value)
        return pins

    def known(self, keys: tuple[str, ...], table: Mapping[str, Any], allowed: tuple[str, ...]) -> None:
        for key in table:
            if key not in allowed:
                where = f" in [{'.'.join(keys)}]" if keys else ""
                message = f"there is no '{key}'{where}.{did_you_mean(key, allowed)}"
                raise self.error((*keys, key), message, f"Allowed: {', '.join(allowed)}.")

    def table(self, keys: tuple[str, ...], value: Any) -> Mapping[str, Any]:
        if not isinstance(value, Mapping):
            raise self.error(keys, f"'{'.'.join(keys)}' must be a table, not {value!r}.")
        return value

    def name(self, keys: tuple[str, ...], value: Any) -> str:
        if not isinstance(value, str) or not value.strip():
            raise self.error(keys, f"'{keys[-1]}' must be a name in quotes, not {value!r}.")
        return value.strip()


def line_of(text: str, keys: tuple[str, ...]) -> int:
    """Return the 1-based line on which an entry of a TOML text begins, or that of its nearest table.

    Dashes and underscores are the same, but of two entries the one that is spelled like the keys counts.
    """
    best, best_score = 1, (0, 0)
    header: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if found := _HEADER.match(line):
            path = header = _parts(found["path"])
        elif found := _KEY.match(line):
            path = (*header, *_parts(found["path"]))
        else:
            continue
        pairs = zip(keys, path, strict=False)
        common = list(takewhile(lambda pair: normalise_name(pair[0]) == normalise_name(pair[1]), pairs))
        score = len(common), sum(ours == theirs for ours, theirs in common)
        # An entry, a part of it, or a table around it; of two equally near lines the first counts.
        if len(common) in (len(keys), len(path)) and score > best_score:
            best, best_score = number, score
    return best


def _parts(path: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in _PART.findall(path))


def _shown(path: Path | None) -> str:
    try:
        return FILE_NAME if path is None else str(path.resolve().relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)
