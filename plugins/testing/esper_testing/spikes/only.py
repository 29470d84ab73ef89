"""Running a part of a spike: `--only NAME`."""

from __future__ import annotations

from collections.abc import Sequence

from esper_core.contracts.errors import UserError, did_you_mean


def matching(only: str | None, names: Sequence[str], *, what: str) -> tuple[str, ...]:
    """Return the names that `only` means: one in full, or all that begin with it as whole words; None means all.

    Args:
        only: What was asked for; upper and lower case mean the same.
        names: What there is.
        what: What these are, in the plural, for messages.

    Raises:
        UserError: it means none of them.
    """
    if only is None:
        return tuple(names)
    wanted = " ".join(only.lower().split())
    exact = [name for name in names if name.lower() == wanted]
    found = exact or [name for name in names if wanted and name.lower().startswith(f"{wanted} ")]
    if not found:
        near = {alias.lower(): alias for name in names for alias in (name, name.split()[0])}
        guess = did_you_mean(wanted, near)
        for lower, alias in near.items():
            guess = guess.replace(f"'{lower}'", f"'{alias}'")
        raise UserError(f"There is no '{only}' here.{guess}", hint=f"The {what}: {', '.join(names)}.")
    return tuple(found)
