"""Flags that several commands share; those for kinds come from what installed plugins declare."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from attrs import frozen
from rich.markup import escape
from typer.models import OptionInfo

from esper_core.cli import completion
from esper_core.cli.installed import Installed
from esper_core.composition.config import Option, config_class, describe_options, parse_option
from esper_core.contracts.components import KindSpec
from esper_core.contracts.errors import ConfigError, EsperError, UserError
from esper_core.system.printable import visible_line

T = TypeVar("T")
COMPONENTS, RUN = "Components", "Run"
"""Panels of the help."""


@frozen
class _Mark:
    """Marks a parameter that sets the environment's option `key`, or takes kind → name from flags for all kinds.

    With `settings` it takes options, those that flags of kinds stand for.
    """

    key: str = ""
    but: tuple[str, ...] = ()
    settings: bool = False


def kinds(*but: str) -> Any:
    """Return the type of a parameter that becomes a flag for every kind of a plan, but for some."""
    return Annotated[Mapping[str, str] | None, _Mark(but=but)]


Kinds = kinds()
KindSettings = Annotated[Sequence[Option] | None, _Mark(settings=True)]
"""Options of components of kinds that have flags of their own; the plan is to have a component of each such kind."""
Epochs = Annotated[int | None, _Mark("epochs")]
Workers = Annotated[int | None, _Mark("workers")]
Policy = Annotated[
    str | None, typer.Option(help="Recipe of registry.toml, or a network.", autocompletion=completion.policies)
]
_USES_HELP = "Choose a component of any kind (repeatable)."
_OPTIONS_HELP = "Set an option, as listed by `esper policy show` (repeatable)."
Uses = Annotated[
    list[str] | None, typer.Option("--use", metavar="KIND=NAME", help=_USES_HELP, rich_help_panel=COMPONENTS)
]
Options = Annotated[
    list[str] | None,
    typer.Option("-o", "--option", metavar="KIND.KEY=VALUE", help=_OPTIONS_HELP, rich_help_panel=COMPONENTS),
]
Seed = Annotated[int | None, typer.Option(help="Seed of the run; 0.", rich_help_panel=RUN)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Out = Annotated[Path, typer.Option(help="Directory of runs.")]
OneSlots = Annotated[str | None, typer.Option(help="A count such as 5, or ids such as r0c0,r0c2.")]


def parse_uses(texts: Sequence[str] | None, by_flag: Mapping[str, str] | None = None) -> dict[str, str]:
    """Read `KIND=NAME` choices and join them with those of the flags for kinds; raises UserError."""
    uses = dict(by_flag or {})
    for text in texts or ():
        kind, equals, name = text.partition("=")
        if not (equals and kind.strip() and name.strip()):
            raise UserError(f"--use {text} cannot be read.", hint="Write --use critic=state-value, for example.")
        if uses.setdefault(kind.strip(), name.strip()) != name.strip():
            raise UserError(f"The {kind} is chosen twice: '{uses[kind]}' and '{name.strip()}'.", hint="Keep one.")
    return uses


def with_installed(function: Callable[..., Any], installed: Installed) -> Callable[..., Any]:
    """Return a command's function whose marked parameters are flags as installed plugins describe them."""
    own = list(inspect.signature(function, eval_str=True).parameters.values())
    taken = {"help", "registry", "no-plugin", "debug", *(parameter.name.replace("_", "-") for parameter in own)}
    taken |= {flag.strip("-") for p in own for info in _said(p, OptionInfo) for flag in info.param_decls or ()}
    shown: list[inspect.Parameter] = []
    by_flag: dict[str, dict[str, str]] = {}
    settings: dict[str, dict[str, Option]] = {}
    planned = {name: kind for name, kind in installed.index.kinds.items() if kind.planned and not kind.several}
    for parameter in own:
        mark = next(iter(_said(parameter, _Mark)), None)
        if mark is None:
            shown.append(parameter)
        elif mark.key:
            shown.append(parameter.replace(annotation=_of_environment(mark.key, installed)))
        elif mark.settings:
            meant = settings[parameter.name] = {}
            for flag, option in _flags(planned, taken).items():
                name = f"set_{flag.replace('-', '_')}"
                meant[name] = option
                shown.append(parameter.replace(name=name, annotation=_of_option(flag, option, installed)))
        else:
            chosen = [n for n, kind in planned.items() if n not in {*mark.but, *taken} and not kind.flags]
            by_flag[parameter.name] = {f"kind_{kind.replace('-', '_')}": kind for kind in chosen}
            for name, kind in by_flag[parameter.name].items():
                shown.append(parameter.replace(name=name, annotation=_of_kind(kind, installed)))

    @functools.wraps(function)
    def command(**given: Any) -> Any:
        for name, offered in by_flag.items():
            said = {kind: given.pop(parameter) for parameter, kind in offered.items()}
            given[name] = {kind: value for kind, value in said.items() if value is not None}
        for name, meant in settings.items():
            options = [option._replace(value=given.pop(parameter)) for parameter, option in meant.items()]
            given[name] = [option for option in options if option.value is not None]
        return function(**given)

    command.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
    return command


def check_once(settings: Sequence[Option] | None, options: Sequence[Option | str]) -> list[Option]:
    """Return the options that flags of kinds stand for; raises ConfigError where one is also given with -o."""
    said = [parse_option(text) for text in options]
    for option in settings or ():
        for other in said:
            if (other.kind, other.key) == (option.kind, option.key):
                message = f"'{option.kind}.{option.key}' is chosen twice: '{option.value}' by its flag, and -o {other}."
                raise ConfigError(message, hint="Keep one.")
    return list(settings or ())


def _flags(kinds: Mapping[str, KindSpec], taken: Collection[str]) -> dict[str, Option]:
    """Return the flags that kinds have of their own, each with the option that it stands for, without a value."""
    every = ((flag, Option(name, None, key, None)) for name, kind in kinds.items() for flag, key in kind.flags.items())
    return {flag: option for flag, option in every if flag not in taken}


def _said(parameter: inspect.Parameter, what: type[T]) -> list[T]:
    return [said for said in getattr(parameter.annotation, "__metadata__", ()) if isinstance(said, what)]


def _quoted(text: str, installed: Installed) -> str:
    """Return a plugin's text so that a help page shows it as it is written."""
    return escape(visible_line(text)) if installed.settings.markup else visible_line(text)


def _of_kind(kind: str, installed: Installed) -> Any:
    summary = _quoted(installed.index.kinds[kind].summary, installed)
    means, complete = f"{summary[:1].upper()}{summary[1:]}.", completion.components(kind)
    flag = typer.Option(f"--{kind}", metavar="NAME", help=means, rich_help_panel=COMPONENTS, autocompletion=complete)
    return Annotated[str | None, flag]


def _of_option(flag: str, option: Option, installed: Installed) -> Any:
    """Return the type of a flag for an option of whatever component of a kind is chosen: that of its default."""
    kind, _, key, _ = option
    said = ["No component of the kind is installed."]
    taken: Any = str
    for component in installed.index.of_kind(kind):
        with suppress(EsperError):
            (row,) = (row for row in describe_options(config_class(component)) if row.key == key)
            default = "" if row.default in (None, "") else f" ({row.default})"
            said[:], taken = [f"{_quoted(row.help, installed).rstrip('.')}{default}."], type(row.default)
    means = f"{said[0]} Short for -o {kind}.{key}."
    metavar = key.upper() if taken is str else None
    return Annotated[taken | None, typer.Option(f"--{flag}", metavar=metavar, help=means, rich_help_panel=COMPONENTS)]


def _of_environment(key: str, installed: Installed) -> Any:
    said = []
    for component in installed.index.of_kind("environment"):
        with suppress(EsperError):
            rows = [row for row in describe_options(config_class(component)) if row.key == key]
            said += [f"In {component.name}: {_quoted(r.help, installed).rstrip('.')} ({r.default})." for r in rows]
    means = " ".join(said) or "No installed environment has it."
    return Annotated[int | None, typer.Option(help=f"The environment's option. {means}", rich_help_panel=RUN)]
