"""Options: how a config class declares a field with its default, its one-line help and its bounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import NOTHING, field, validators


def option(
    default: Any = NOTHING,
    *,
    help: str,  # noqa: A002
    low: float | None = None,
    high: float | None = None,
    choices: tuple[Any, ...] | None = None,
    converter: Callable[[Any], Any] | None = None,
    renamed_from: str = "",
    matters: bool = True,
) -> Any:
    """Return an attrs field for a config class.

    Args:
        default: Default value; it is written nowhere else.
        help: One line that says what raising or lowering the value does.
        low: Smallest allowed value.
        high: Largest allowed value.
        choices: Allowed values.
        converter: Applied to the value before it is checked. A plan keeps its result and applies it again, which must
            change nothing.
        renamed_from: What the option was called; who still says that is told the new name.
        matters: An environment's outcomes depend on it, given what is done there. Those do not depend on who drives the
            other side by default, on weights of the reward, or on how many processes play.
    """
    checks: list[Any] = []
    bounds: list[str] = []
    for bound, check, words in ((low, validators.ge, "at least"), (high, validators.le, "at most")):
        if bound is not None:
            checks.append(check(bound))
            bounds.append(f"{words} {bound if isinstance(bound, int) else f'{bound:g}'}")
    if choices is not None:
        checks.append(validators.in_(choices))
    return field(
        default=default,
        converter=converter,
        metadata={"help": help, "choices": choices, "bounds": bounds, "renamed_from": renamed_from, "matters": matters},
        # Bounds say nothing about None; whether it is allowed is the annotation's business.
        validator=validators.optional(checks) if checks else None,
    )
