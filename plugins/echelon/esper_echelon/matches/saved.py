"""States of groups of matches: that of all from those of the groups, and back; so others may play them later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from esper_core.contracts.errors import EpisodesLost

BY_MATCH = ("weapon_prob", "active", "returns", "bad", "instances")
OF_OTHER = ("names", "tells", "instances", "steps")
IN_AIR = ("clouds", "flights")
"""What is told of anything that belongs to a match, whose number is beside it."""

State = Mapping[str, Any]


def joined(states: Sequence[State]) -> dict[str, Any]:
    """Return the state of all matches, of those of groups in order; matches are counted through."""
    first = states[0]
    starts = [0, *accumulate(len(state["instances"]) for state in states)]
    return {
        **first,
        **_lists(BY_MATCH, states),
        "parts": _lists(first["parts"], [state["parts"] for state in states]),
        "maps": first["maps"] and _lists(first["maps"], [state["maps"] for state in states]),
        "arena": _arenas([state["arena"] for state in states], starts),
        "other": _others([state["other"] for state in states], starts),
    }


def parted(state: State, first: int, count: int) -> dict[str, Any]:
    """Return the state of `count` matches from the `first` on, of that of all.

    Raises:
        EpisodesLost: it was taken when nothing said who drove the other team.
    """
    if "other" not in state:
        raise EpisodesLost("The matches of echelon that were saved do not say who played against whom.")

    def own(names: Any, table: State) -> dict[str, Any]:
        return {**table, **{name: table[name][first : first + count] for name in names}}

    arena, other = state["arena"], state["other"]
    end = first + count
    air = {name: _own_of(arena[name], first, end) for name in IN_AIR}
    kept = {name: {"match": kept["matches"], "values": kept["values"]} for name, kept in other["memory"].items()}
    own_memory = {name: _own_of(table, first, end) for name, table in kept.items()}
    arrays = [name for name in arena if name not in (*IN_AIR, "mechs")]
    memory = {n: {"matches": m["match"], "values": m["values"]} for n, m in own_memory.items() if m["match"]}
    return {
        **own(BY_MATCH, state),
        "parts": own(state["parts"], state["parts"]),
        "maps": state["maps"] and own(state["maps"], state["maps"]),
        "arena": {**own(arrays, arena), **air, "mechs": own(arena["mechs"], arena["mechs"])},
        "other": {**own(OF_OTHER, other), "memory": memory},
    }


def _own_of(table: State, first: int, end: int) -> dict[str, Any]:
    """Return the columns of what belongs to some matches, which are counted from 0."""
    places = [place for place, match in enumerate(table["match"]) if first <= match < end]
    found = {name: [column[place] for place in places] for name, column in table.items()}
    return {**found, "match": [match - first for match in found["match"]]}


def _lists(names: Any, tables: Sequence[State]) -> dict[str, Any]:
    """Return columns of tables, one after another."""
    return {name: [entry for table in tables for entry in table[name]] for name in names}


def _arenas(arenas: Sequence[State], starts: Sequence[int]) -> dict[str, Any]:
    first = arenas[0]
    air = {}
    for name in IN_AIR:
        tables = [arena[name] for arena in arenas]
        counted = [{**t, "match": [match + s for match in t["match"]]} for t, s in zip(tables, starts, strict=False)]
        air[name] = _lists(first[name], counted)
    arrays = [name for name in first if name not in (*IN_AIR, "mechs")]
    mechs = _lists(first["mechs"], [arena["mechs"] for arena in arenas])
    return {**first, **_lists(arrays, arenas), **air, "mechs": mechs}


def _others(others: Sequence[State], starts: Sequence[int]) -> dict[str, Any]:
    memory: dict[str, dict[str, list[Any]]] = {}
    for other, start in zip(others, starts, strict=False):
        for name, kept in other["memory"].items():
            found = memory.setdefault(name, {"matches": [], "values": []})
            found["matches"] += [match + start for match in kept["matches"]]
            found["values"] += kept["values"]
    return {**others[0], **_lists(OF_OTHER, others), "memory": dict(sorted(memory.items()))}
