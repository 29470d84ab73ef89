"""Who plays in a league."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen
from attrs.validators import in_

from esper_core.contracts.errors import UserError
from esper_league.glicko import Glicko2Rating

CANDIDATE, COMMANDER, RETIRED, RULE = "candidate", "commander", "retired", "rule"
KINDS = (CANDIDATE, COMMANDER, RETIRED, RULE)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}")


@frozen
class LeagueEntry:
    """Who plays in a league.

    Attributes:
        id: Digest of what acts: of weights and what makes use of them, or of a rule and its options.
        name: What people call it; no other entry of the league has it.
        kind: 'candidate' (new, or not yet good enough), 'commander' (promoted), 'retired', or 'rule', which stays what
            it is: it is neither promoted nor retired.
        games: Matches on record.
        created_at: When it was added, ISO 8601 in UTC.
        source: Where it comes from, for people: `RUN@UPDATE`, or the rule's name.
        meta: What else is known of it, JSON-able; `run` and `update` of a policy, `rule`, `distribution` and `config`
            of a rule.
        retired_at: When it was retired; None unless it is.
    """

    id: str
    name: str
    kind: str = field(default=CANDIDATE, validator=in_(KINDS))
    rating: Glicko2Rating = field(factory=Glicko2Rating)
    games: int = 0
    created_at: str = ""
    source: str = ""
    meta: Mapping[str, Any] = field(factory=dict)
    retired_at: str | None = None

    @property
    def plays(self) -> bool:
        """Whether it is drawn as an opponent and rated without a match."""
        return self.kind != RETIRED


def check_name(name: str) -> str:
    """Return a name that an entry may have; raises UserError."""
    if not _NAME.fullmatch(name):
        raise UserError(
            f"An entry cannot be called '{name:.100}'.",
            hint="A name has up to 100 letters, digits and . _ @ + -, and begins with a letter or a digit.",
        )
    return name
