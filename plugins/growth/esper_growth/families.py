"""What families of tasks and of hosts have in common."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from esper_core.contracts.errors import UserError


def check_members(kind: str, given: Sequence[str], known: Collection[str]) -> None:
    """Refuse an empty list of members of the family `mixed` of a kind, and members that are unknown.

    Raises:
        UserError: there are none, or some are unknown.
    """
    unknown = sorted(set(given) - set(known))
    if unknown or not given:
        raise UserError(
            f"{kind}.{kind}s={list(given)}: the {kind} 'mixed' draws from {', '.join(known)} alone.",
            hint=f"Leave out {', '.join(unknown)}." if unknown else "Name one at least.",
        )
