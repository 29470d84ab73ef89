"""The flags with which commands choose components. Those for kinds are there because installed plugins declare them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import typer
from attrs import frozen
from rich.markup import escape
from typer.models import OptionInfo

from esper_core.cli import completion
from esper_core.cli.installed import Installed
from esper_core.composition.config import config_class, describe_options
from esper_core.contracts.errors import EsperError, UserError
from esper_core.registry.index import Index
from esper_core.system.printable import visible_line

T = TypeVar("T")
COMPONENTS, RUN = "Components", "Run"
"""Panels of the help."""


@frozen
class _Mark:
    """Marks a parameter that sets the environment's option `key`, or takes kind → name from flags for all kinds."""

    key: str = ""
    but: tuple[str, ...] = ()


def kinds(*but: str) -> Any:
    """Return the type of a parameter that becomes a flag for every kind of a plan, but for some."""
    return Annotated[Mapping[str, str] | None, _Mark(but=but)]


Kinds = kinds()
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
    signature, hints = inspect.signature(function), get_type_hints(function, include_extras=True)
    own = [parameter.replace(annotation=hints.get(name, Any)) for name, parameter in signature.parameters.items()]
    marks = {parameter.name: mark for parameter in own for mark in _said(parameter, _Mark)}
    if not marks:
        return function
    taken = {flag for parameter in own for flag in _flags(parameter)}
    shown: list[inspect.Parameter] = []
    by_flag: dict[str, dict[str, str]] = {}
    for parameter in own:
        mark = marks.get(parameter.name)
        if mark is None:
            shown.append(parameter)
        elif mark.key:
            shown.append(parameter.replace(annotation=_of_environment(mark.key, installed)))
        else:
            offered = {f"kind_{k.replace('-', '_')}": k for k in _chosen_kinds(installed.index, {*mark.but, *taken})}
            by_flag[parameter.name] = offered
            shown += [parameter.replace(name=name, annotation=_of_kind(k, installed)) for name, k in offered.items()]

    @functools.wraps(function)
    def command(**given: Any) -> Any:
        for name, offered in by_flag.items():
            said = {kind: given.pop(parameter) for parameter, kind in offered.items()}
            given[name] = {kind: value for kind, value in said.items() if value is not None}
        return function(**given)

    command.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
    return command


def _said(parameter: inspect.Parameter, what: type[T]) -> list[T]:
    return [said for said in getattr(parameter.annotation, "__metadata__", ()) if isinstance(said, what)]


def _flags(parameter: inspect.Parameter) -> Sequence[str]:
    """Return what a parameter is called on the command line, without dashes."""
    flags = [flag.strip("-") for info in _said(parameter, OptionInfo) for flag in info.param_decls or ()]
    return flags or [parameter.name.replace("_", "-")]


def _chosen_kinds(index: Index, but: set[str]) -> list[str]:
    """Return the kinds of which a plan holds one, but for some."""
    unusable = {*but, "help", "registry", "no-plugin", "debug"}
    return [n for n, kind in index.kinds.items() if kind.planned and not kind.several and n not in unusable]


def _quoted(text: str, installed: Installed) -> str:
    """Return a plugin's text so that a help page shows it as it is written."""
    return escape(visible_line(text)) if installed.settings.markup else visible_line(text)


def _of_kind(kind: str, installed: Installed) -> Any:
    summary = _quoted(installed.index.kinds[kind].summary, installed)
    means, complete = f"{summary[:1].upper()}{summary[1:]}.", completion.components(kind)
    flag = typer.Option(f"--{kind}", metavar="NAME", help=means, rich_help_panel=COMPONENTS, autocompletion=complete)
    return Annotated[str | None, flag]


def _of_environment(key: str, installed: Installed) -> Any:
    said = []
    for component in installed.index.of_kind("environment"):
        with suppress(EsperError):
            for row in describe_options(config_class(component)):
                if row.key == key:
                    said.append(f"In {component.name}: {_quoted(row.help, installed).rstrip('.')} ({row.default}).")
    means = " ".join(said) or "No installed environment has it."
    return Annotated[int | None, typer.Option(help=f"The environment's option. {means}", rich_help_panel=RUN)]
