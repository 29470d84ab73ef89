"""Options: from `-o network.hidden_dim=256` and registry.toml to a component's config, checked."""

from __future__ import annotations

import contextlib
import datetime
import math
import tomllib
import types
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from functools import cache
from pathlib import PurePath
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

import attrs
from attrs import frozen
from cattrs import Converter

from esper_core.contracts.components import normalise_name
from esper_core.contracts.errors import ConfigError, PluginError, did_you_mean
from esper_core.contracts.foreign import guarded
from esper_core.contracts.plain import NotPlain, from_exact, to_exact
from esper_core.registry.index import Component
from esper_core.registry.references import load_reference

_SYNTAX = "Options read KIND.key=VALUE, such as network.hidden_dim=256, or KIND.NAME.key=VALUE."
_NONE_WORDS = ("none", "null")
_LONG_BITS = 256
_SCALARS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
_WORDS = {**_SCALARS, list: "a list", tuple: "a list", dict: "a table", Mapping: "a table", type(None): "none"}

LARGEST_WHOLE, LARGEST_NUMBER = 2**63 - 1, 3.4e38
"""What a tensor can hold, as a whole number and as a float32."""


@frozen
class NoOptions:
    """Config of a component that has no options."""


class BadOption(ConfigError):
    """An option that does not exist or has a value that is not allowed; `key` is its name without prefix."""

    def __init__(self, message: str, *, key: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.key = key


class Option(NamedTuple):
    """One setting: `kind.key = value`, or `kind.name.key = value` for one component of several."""

    kind: str
    name: str | None
    key: str
    value: Any

    def __str__(self) -> str:
        return f"{'.'.join(filter(None, (self.kind, self.name, self.key)))}={self.value}"


class OptionRow(NamedTuple):
    """One option as listings show it."""

    key: str
    default: Any
    help: str
    allowed: str


def parse_option(text: str | Option) -> Option:
    """Read `KIND.key=VALUE` or `KIND.NAME.key=VALUE`; VALUE is a TOML value, and a bare word is a string.

    Raises:
        ConfigError: the text does not read so.
    """
    if isinstance(text, Option):
        return text
    path, equals, value = text.partition("=")
    option = option_at(path if equals else "", None, text)
    return option._replace(value=_parse_value(text, value.strip()))


def option_at(path: str, value: Any, said: str | None = None) -> Option:
    """Return the option at `KIND.key` or `KIND.NAME.key`, its value taken as it is.

    Raises:
        ConfigError: the path does not read so; the message quotes `said`.
    """
    kind, dot, rest = path.strip().partition(".") if isinstance(path, str) else ("", "", "")
    name, _, key = rest.rpartition(".")
    if not dot or not kind or not key or (rest.count(".") and not name):
        raise ConfigError(f"The option '{said or path}' cannot be read.", hint=_SYNTAX)
    plain = str(value) if isinstance(value, PurePath) else value
    return Option(normalise_name(kind), normalise_name(name) if name else None, key, plain)


def _parse_value(option: str, text: str) -> Any:
    structured = text.startswith(('"', "'", "[", "{"))
    if "#" in text and not structured:
        return text
    try:
        table = tomllib.loads(f"value = {text}")
    except RecursionError as error:
        raise ConfigError("The value of an option holds too many tables and lists within one another.") from error
    except ValueError as error:  # no TOML, or a number with more digits than Python reads
        if text and not structured:
            return text
        hint = 'A text that begins with a quote ends with it. An empty text is "".'
        if text.startswith(("[", "{")):
            # A shell takes away quotes that are not within others.
            path, inner = option.partition("=")[0], '{mode = "human"}' if text[0] == "{" else '["one", "another"]'
            hint = f"Text within it needs quotes, and the whole needs others for your shell: -o '{path}={inner}'."
        raise ConfigError(f"The value of the option '{option}' is not a TOML value: {error}.", hint=hint) from error
    if set(table) != {"value"}:
        raise ConfigError(f"The option '{option}' holds more than one value.", hint=_SYNTAX)
    return text if isinstance(table["value"], datetime.date | datetime.time) else table["value"]


def config_class(component: Component) -> type:
    """Return the attrs class of a component's options; raises PluginError."""
    if not component.spec.config:
        return NoOptions
    found = load_reference(component.spec.config, str(component), component.distribution)
    if isinstance(found, type) and attrs.has(found):
        return found
    message = f"{component} names '{component.spec.config}' as its config, which is not an attrs class."
    raise PluginError(message, hint="Decorate it with @attrs.frozen.")


def structure_config(component: Component, values: Mapping[str, Any], *, prefix: str | None = None) -> Any:
    """Return the config of a component with `values` in place of its defaults.

    Messages call an option `prefix.key`; without a prefix, `kind.key`. Raises ConfigError for an unknown key or a value
    that is not allowed, PluginError where the config class cannot be imported or fails otherwise.
    """
    cls = config_class(component)
    with guarded(str(component), "reading its options"):
        return structure(cls, values, prefix=prefix or component.kind, owner=str(component))


def structure(cls: type, values: Mapping[str, Any], *, prefix: str, owner: str) -> Any:
    """Return an instance of the config class `cls`; messages call an option `prefix.key`."""
    fields = {entry.name: entry for entry in _fields(cls, owner)}
    said = {key.replace("-", "_"): value for key, value in values.items()}
    _check_keys(fields, said, prefix, owner)
    structured = {name: _structure_value(fields[name], value, f"{prefix}.{name}") for name, value in said.items()}
    for name, entry in fields.items():
        if entry.default is attrs.NOTHING and name not in said:
            raise ConfigError(f"{owner} needs a value for '{prefix}.{name}'.", hint=_allowed(entry))
    try:
        return cls(**{fields[name].alias or name: value for name, value in structured.items()})
    except (ValueError, TypeError) as error:
        raise ConfigError(f"The options of {owner} do not fit together: {str(error).rstrip('.')}.") from error


def _check_keys(fields: Mapping[str, attrs.Attribute[Any]], said: Iterable[str], prefix: str, owner: str) -> None:
    """Check that options exist; raises BadOption for all that were renamed, else for the first unknown one."""
    unknown = [key for key in said if key not in fields]
    renamed = {entry.metadata.get("renamed_from"): f"{prefix}.{name}" for name, entry in fields.items()}
    if old := [key for key in unknown if key in renamed]:
        message = " ".join(f"'{prefix}.{key}' is called '{renamed[key]}' now." for key in old)
        raise BadOption(message, key=old[0], hint=f"Write {' and '.join(renamed[key] for key in old)}.")
    for key in unknown:
        known = f"Options of {owner}: {', '.join(fields)}." if fields else f"{owner} has no options."
        raise BadOption(f"There is no option '{prefix}.{key}'.{did_you_mean(key, fields)}", key=key, hint=known)


def unstructure_config(config: Any) -> dict[str, Any]:
    """Return a config as plain values, defaults included; `structure_config` takes them."""
    return {name: _plain(value) for name, value in attrs.asdict(config, recurse=False).items()}


def planned_config(component: Component, config: Any) -> dict[str, Any]:
    """Return a config as a plan keeps it: plain values that give an equal config when they are read back.

    Raises PluginError where they would not: what users say was checked before, so that the config class is at fault.
    """
    values = unstructure_config(config)
    try:
        for name, value in values.items():
            fault = f"its option '{component.kind}.{name}' cannot be kept in a plan"
            to_exact(value)
        fault = "its config is refused when it is read back"
        again = unstructure_config(structure_config(component, from_exact(to_exact(values))))
        for name, value in values.items():
            fault = f"its option '{component.kind}.{name}'"
            if to_exact(again.get(name)) != to_exact(value):
                raise NotPlain("it is another value after it was read back")
    except (NotPlain, ConfigError) as error:
        reason = getattr(error, "message", str(error)).rstrip(".")
        raise component.owner.breach(f"{fault}: {reason}") from error
    return values


def describe_options(cls: type) -> tuple[OptionRow, ...]:
    """Return one row per option of a config class, in the order of their declaration."""
    with guarded(f"The config class {cls.__module__}.{cls.__qualname__}", "describing its options"):
        return tuple(
            OptionRow(entry.name, _default(entry), str(entry.metadata.get("help", "")), _allowed(entry))
            for entry in _fields(cls, cls.__name__)
        )


def _fields(cls: type, owner: str) -> tuple[attrs.Attribute[Any], ...]:
    try:
        attrs.resolve_types(cls)
    except (NameError, TypeError) as error:
        message = f"The annotations of the config class of {owner} cannot be resolved: {error}."
        hint = "Import the types of options at the top of the config module, not under TYPE_CHECKING."
        raise PluginError(message, hint=hint) from error
    return tuple(entry for entry in attrs.fields(cls) if entry.init)


def _default(entry: attrs.Attribute[Any]) -> Any:
    default: Any = entry.default
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
        default = None if default.takes_self else default.factory()
    default = None if default is attrs.NOTHING else _plain(default)
    try:
        to_exact(default)
    except NotPlain as error:
        message = f"The default of the option '{entry.name}' cannot be kept in a plan: {error}."
        raise PluginError(message, hint="Report this to the plugin's author.") from error
    return default


def _plain(value: Any) -> Any:
    if attrs.has(type(value)):
        return unstructure_config(value)
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, Mapping):
        return {_plain(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, set | frozenset):
        return sorted((_plain(entry) for entry in value), key=lambda entry: (type(entry).__name__, entry))
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return str(value) if isinstance(value, PurePath) else value


def _structure_value(entry: attrs.Attribute[Any], value: Any, label: str) -> Any:
    """Return `value` as the type of a field; the field's converter and bounds are tried, but left to the class."""
    try:
        try:
            to_exact(value)
        except NotPlain as error:
            dated = isinstance(error.value, datetime.date | datetime.time)
            raise _WrongType(f": {error}{'; write it as a text, in quotes' * dated}") from error
        structured = _converter().structure(value, entry.type) if entry.type not in (None, Any) else value
        # What wants the instance or the field (attrs.Converter, and some validators) runs with the class only.
        converter: Any = entry.converter
        simple = converter is not None and not hasattr(converter, "takes_self")
        converted = converter(structured) if simple else structured
        if entry.validator is not None:
            with contextlib.suppress(AttributeError):
                entry.validator(None, entry, converted)
    except Exception as error:
        reason = str(error) if isinstance(error, _WrongType) else ""
        message, hint = f"'{label}' cannot be {_shown(value)}{reason}.", f"Allowed: {_allowed(entry)}."
        raise BadOption(message, key=entry.name, hint=hint) from error
    return structured


class _WrongType(Exception):
    """A value of the wrong type; the text continues a sentence."""


@cache
def _converter() -> Converter:
    """Return a converter that never guesses: "5" is not a number, true is not 1, and a string is not a list."""
    converter = Converter(forbid_extra_keys=True)
    for kind in _SCALARS:
        converter.register_structure_hook(kind, _to_plain)
    converter.register_structure_hook_func(_is_optional, _to_optional)
    converter.register_structure_hook_func(_is_list, _to_list)
    return converter


def _to_plain(value: Any, kind: type) -> Any:
    fits = isinstance(value, int | float if kind is float else kind)
    if not fits or (isinstance(value, bool) and kind is not bool):
        raise _WrongType(f": it is {_type_name(type(value))}")
    if kind is int and abs(value) > LARGEST_WHOLE:
        raise _WrongType(": it has more than 64 bits")
    if kind is float:
        if isinstance(value, float) and not math.isfinite(value):
            raise _WrongType(": it is not finite")
        if abs(value) > LARGEST_NUMBER:
            raise _WrongType(": no float32 is as large")
        return float(value)
    return value


def _is_optional(kind: Any) -> bool:
    return get_origin(kind) in (Union, types.UnionType) and type(None) in get_args(kind)


def _to_optional(value: Any, kind: Any) -> Any:
    others = [member for member in get_args(kind) if member is not type(None)]
    # TOML has no null, so the word stands for it wherever it cannot be meant as a text.
    if value is None or (isinstance(value, str) and value.lower() in _NONE_WORDS and str not in others):
        return None
    inner: Any = others[0] if len(others) == 1 else Union[tuple(others)]  # noqa: UP007
    return _converter().structure(value, inner)


def _is_list(kind: Any) -> bool:
    return get_origin(kind) in (tuple, list, Sequence)


def _to_list(value: Any, kind: Any) -> Any:
    if not isinstance(value, list | tuple):
        raise _WrongType(f": it is {_type_name(type(value))}")
    members = get_args(kind)
    if get_origin(kind) is not tuple or members[1:] == (Ellipsis,):
        members = members[:1] * len(value)
    elif len(value) != len(members):
        raise _WrongType(f": it has {len(value)} entries, not {len(members)}")
    structured = (_converter().structure(entry, member) for entry, member in zip(value, members, strict=True))
    return list(structured) if get_origin(kind) is list else tuple(structured)


def _shown(value: Any) -> str:
    """Return a value about as TOML writes it."""
    if isinstance(value, str):
        return f"'{value}'"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key} = {_shown(entry)}' for key, entry in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_shown, value))}]"
    # Python writes out no number of thousands of digits.
    long = isinstance(value, int) and value.bit_length() > _LONG_BITS
    return f"a number of {value.bit_length()} bits" if long else str(value)


def _allowed(entry: attrs.Attribute[Any]) -> str:
    """Return what an option may be, in words."""
    choices = entry.metadata.get("choices")
    if isinstance(entry.type, type) and issubclass(entry.type, Enum):
        choices = choices or [member.value for member in entry.type]
    if choices:
        return " or ".join(map(_shown, choices))
    return ", ".join([_type_name(entry.type), *entry.metadata.get("bounds", ())])


def _type_name(kind: Any, *, several: bool = False) -> str:
    members = [member for member in get_args(kind) if member is not Ellipsis]
    if _is_list(kind) and members:
        return f"a list of {' and '.join(dict.fromkeys(_type_name(member, several=True) for member in members))}"
    if word := _WORDS.get(get_origin(kind) or kind):
        return f"{word.removeprefix('a ')}s" if several and word.startswith("a ") else word
    if get_origin(kind) is Literal:
        return " or ".join(map(_shown, members))
    if members:
        return " or ".join(map(_type_name, members))
    return "anything" if kind in (None, Any) else str(getattr(kind, "__name__", kind))
