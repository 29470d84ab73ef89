"""What every feature extractor must do."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from attrs import evolve, frozen
from torch import Tensor

from esper_core.composition.build import build_beside, build_parts
from esper_core.contracts.features import Feature
from esper_core.contracts.protocols import Features
from esper_core.contracts.state import StateField, StateSpec
from esper_testing.case import Case
from esper_testing.conformance import any_slots
from esper_testing.conformance.chance import assert_repeatable
from esper_testing.conformance.everywhere import everywhere, in_every_layout
from esper_testing.conformance.subject import Subject
from esper_testing.conformance.suite import Suite
from esper_testing.conformance.tensors import (
    TOLERANCE,
    assert_dtype,
    assert_on,
    assert_same,
    assert_shape,
    cut,
    mapped,
    unchanged,
)
from esper_testing.fake_device import FakeDevice
from esper_testing.states import random_state

ROWS = 256
"""Random states that are looked at: enough for every category of a field to come up."""

ROUNDING = 1e-5
"""How far out of its declared range a float32 feature may be, and up to where it has not moved, relative to both."""

SUITE = Suite(
    "features",
    (
        "schema",
        "shapes",
        "indices",
        "finite",
        "ranges",
        "deterministic",
        "state-untouched",
        "batch-of-one",
        "sources",
        "slots",
        "reads",
        "float64",
        "device",
        "slots-alike",
    ),
)

SUITE.check("slots-alike", after=("schema",), claim="features:any-slots")(any_slots.alike)


@SUITE.check("schema")
@everywhere
def schema(subject: Subject, case: Case) -> None:
    """Its schema names every column once, with a range and the published fields it comes from, one block per slot."""
    known = case.schema
    twice = sorted({name for name in known.names if known.names.count(name) > 1})
    assert not twice, f"names that several columns have: {', '.join(twice)}"
    if known.per_slot:
        assert known.num_slots == case.num_slots, f"{known.num_slots} slot blocks for {case.num_slots} slots"
    for feature in (*known.base, *known.per_slot):
        assert -math.inf < feature.low <= feature.high < math.inf, (
            f"'{feature.name}' has the range {feature.low:g} to {feature.high:g}"
        )
        unknown = _sources(feature) - set(case.description.state_spec.names)
        # Where a slot is follows from no field; what does follow from one moves with it, and is found to.
        assert _sources(feature) or feature in known.per_slot, f"'{feature.name}' names no source"
        assert not unknown, f"'{feature.name}' names a source that is not published: {', '.join(sorted(unknown))}"
        if subject.spec.reads:
            unread = _sources(feature) - set(subject.spec.reads)
            assert not unread, (
                f"'{feature.name}' has a source that the spec's `reads` lacks: {', '.join(sorted(unread))}"
            )
    names = [block.name for block in known.indices]
    assert len(set(names)) == len(names), f"index blocks are not unique: {', '.join(names)}"
    for block in known.indices:
        assert block.width > 0 and block.vocabulary > 0, f"index block '{block.name}' has nothing to say"
        assert not block.per_slot or block.width == case.num_slots, (
            f"index block '{block.name}' is {block.width} wide, not one for each of {case.num_slots} slots"
        )


@SUITE.check("shapes", after=("schema",))
@everywhere
def shapes(subject: Subject, case: Case) -> None:
    """It returns `obs [E, D]`, int64 index blocks `[E, width]` and arrays `[E, *shape]`, as its schema lists them."""
    for envs in (5, 1):
        found = case.extract(_states(case, envs))
        assert_shape(found.obs, (envs, case.schema.dim), "obs")
        assert found.obs.dtype == torch.float32, f"obs is {found.obs.dtype}, not float32"
        blocks = {block.name: block for block in case.schema.indices}
        assert set(found.indices) == set(blocks), f"it returns the indices {set(found.indices)}, not {set(blocks)}"
        for name, block in blocks.items():
            assert_shape(found.indices[name], (envs, block.width), f"index block '{name}'")
            assert found.indices[name].dtype == torch.int64, f"index block '{name}' is {found.indices[name].dtype}"
        arrays = {entry.name: entry for entry in case.schema.arrays}
        assert set(found.arrays) == set(arrays), f"it returns the arrays {set(found.arrays)}, not {set(arrays)}"
        for name, entry in arrays.items():
            assert_shape(found.arrays[name], (envs, *entry.shape), f"array '{name}'")
            kind = {"float": torch.float32, "uint8": torch.uint8}[entry.dtype]
            assert found.arrays[name].dtype == kind, f"array '{name}' is {found.arrays[name].dtype}, not {kind}"


@SUITE.check("indices", after=("shapes",))
@everywhere
def indices(subject: Subject, case: Case) -> None:
    """Its indices are −1, for none, or one of the vocabulary."""
    for what, state in _all_states(case):
        found = case.extract(state).indices
        for block in case.schema.indices:
            low, high = int(found[block.name].min()), int(found[block.name].max())
            inside = low >= -1 and high < block.vocabulary
            assert inside, (
                f"{what}: '{block.name}' runs from {low} to {high}, its vocabulary from 0 to {block.vocabulary}"
            )


@SUITE.check("finite", after=("shapes",))
@everywhere
def finite(subject: Subject, case: Case) -> None:
    """Every state gives finite numbers: nothing there yet, all at the lowest, all at the highest, anything between."""
    for what, state in _all_states(case):
        columns = (~torch.isfinite(case.extract(state).obs)).any(0).nonzero().flatten().tolist()
        names = ", ".join(case.schema.names[column] for column in columns)
        assert not columns, f"{what}: not finite: {names}"


@SUITE.check("ranges", after=("finite",))
@everywhere
def ranges(subject: Subject, case: Case) -> None:
    """Every feature keeps to its declared range while the fields keep to theirs."""
    columns = _columns(case)
    bounds = torch.tensor([(feature.low, feature.high) for feature in columns]).T
    spare = ROUNDING * bounds.abs().clamp_min(1)
    for what, state in _all_states(case):
        obs = case.extract(state).obs
        outside = ((obs < bounds[0] - spare[0]) | (obs > bounds[1] + spare[1])).any(0).nonzero().flatten().tolist()
        if outside:
            seen, feature = obs[:, outside[0]], columns[outside[0]]
            raise AssertionError(
                f"{what}: '{case.schema.names[outside[0]]}' runs from {seen.min():g} to {seen.max():g}, not from "
                f"{feature.low:g} to {feature.high:g}"
            )


@SUITE.check("deterministic", after=("shapes",))
@everywhere
def deterministic(subject: Subject, case: Case) -> None:
    """The same state gives the same features, whatever came between, and no random numbers are drawn."""
    assert_repeatable(
        lambda: case.extract(_states(case)), lambda: case.extract(_states(case, seed=1)), "extracting features"
    )


@SUITE.check("state-untouched", after=("shapes",))
@everywhere
def state_untouched(subject: Subject, case: Case) -> None:
    """It changes nothing in the state."""
    state = _states(case)
    with unchanged(state, "the state, before and after"):
        case.extract(state)


@SUITE.check("batch-of-one", after=("deterministic", "state-untouched"))
@everywhere
def batch_of_one(subject: Subject, case: Case) -> None:
    """An environment's features are the same by itself and among others."""
    state = _states(case, envs=4)
    together = case.extract(state)
    for row in range(4):
        one = slice(row, row + 1)
        alone = case.extract(cut(state, one))
        assert_same(alone, cut(together, one), f"environment {row} alone and among 4", TOLERANCE)


@SUITE.check("sources", after=("deterministic", "state-untouched", "finite"))
@everywhere
def sources(subject: Subject, case: Case) -> None:
    """Every feature moves with each of its declared sources and with no other field; slots as a whole may go blank."""
    moved, constant = _movements(case), _constant(case)
    for feature, columns in _features(case):
        for source in sorted(_sources(feature) - constant):
            # What is about other slots, such as those before it, has nothing to say where there are none.
            alone = case.num_slots == 1 and feature in case.schema.per_slot
            assert alone or moved.by_field[source][columns].any(), (
                f"'{feature.name}' does not move when its source '{source}' does"
            )
    declared = [_sources(feature) for feature in _columns(case)]
    for source, flags in moved.beyond_blank.items():
        leaks = [c for c in flags.nonzero().flatten().tolist() if source not in declared[c]]
        if leaks:
            name = case.schema.names[leaks[0]]
            raise AssertionError(f"'{name}' moves with '{source}', which is not among its sources")


@SUITE.check("slots", after=("sources",))
@everywhere
def slots(subject: Subject, case: Case) -> None:
    """What moves with one slot's own fields moves so in every slot: no slot is left out, none stands for another."""
    by_slot = _movements(case).by_slot
    for feature, columns in _features(case):
        if feature in case.schema.base:
            continue
        fields = _sources(feature) & set(by_slot)
        own = [any(bool(by_slot[name][slot][column]) for name in fields) for slot, column in enumerate(columns)]
        left_out = [slot for slot, moves in enumerate(own) if not moves]
        assert not any(own) or not left_out, f"'{feature.name}' moves with its own slot, but not in slots {left_out}"


@SUITE.check("reads", after=("deterministic", "state-untouched"))
def reads(subject: Subject) -> None:
    """It reads the fields that its spec says; if the spec names none, it makes do with whatever is published."""
    case = subject.case()
    state = _states(case)
    expected = case.extract(state)
    if subject.spec.reads:
        given = {name: state[name] for name in subject.spec.reads}
        found = _extract(case.extract, given, "which its spec's `reads` lacks")
        case.extract(noting := _Noting(given))
        unread = sorted(set(given) - noting.read)
        assert not unread, f"its spec's `reads` names what it does not read: {', '.join(unread)}"
    else:
        renamed = StateSpec(evolve(entry, name=f"other_{entry.name}") for entry in case.description.state_spec.fields)
        extract = build_beside(subject.component, subject.full_index, evolve(subject.context(), state_spec=renamed))
        given = {f"other_{name}": value for name, value in state.items()}
        found = _extract(extract, given, "and its spec has no `reads`")
        # Index blocks may well be named after fields.
        indices, arrays = (
            dict(zip(names, values.values(), strict=True))
            for names, values in ((expected.indices, found.indices), (expected.arrays, found.arrays))
        )
        found = Features(found.obs, indices, arrays)
    assert_same(found, expected, "features of the fields that its spec says it reads")


@SUITE.check("float64", after=("deterministic", "state-untouched"))
@in_every_layout
def float64(subject: Subject, case: Case) -> None:
    """Built for float64 it computes in float64, and the same but for rounding."""
    extract = build_parts(case.plan, subject.full_index, only={"features"}, dtype=torch.float64)["features"]
    state = _states(case, dtype=torch.float64)
    double = extract(state).obs
    assert_dtype(torch.float64, {"obs": double})
    single = case.extract(mapped(state, lambda value: value.float() if value.is_floating_point() else value)).obs
    assert_same(single, double, "features in float32 and in float64", TOLERANCE)


@SUITE.check("device", after=("shapes",))
@in_every_layout
def device(subject: Subject, case: Case) -> None:
    """It works on another device than the CPU without making a tensor on a wrong one."""
    with FakeDevice() as there:
        plan = evolve(case.plan, device=there.name)
        extract = build_parts(plan, subject.full_index, only={"features"})["features"]
        found = extract(mapped(_states(case), lambda value: value.to(there.name)))
    assert_on(there.name, found)


# States -------------------------------------------------------------------------------------------------------------


def _range(entry: StateField) -> StateField:
    """Return a field with the range that is drawn from: categories count from 0, though not every one may come up."""
    counts = entry.dtype == "int" and entry.unit == "index"
    return evolve(entry, low=min(entry.low, 0)) if counts else entry


def _states(case: Case, envs: int = ROWS, seed: int = 0, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Return random states `[E, ...]`."""
    spec = StateSpec(map(_range, case.description.state_spec.fields))
    generator = torch.Generator().manual_seed(seed)
    return random_state(spec, case.description.actions, envs, case.num_slots, generator, dtype=dtype)


def _all_states(case: Case) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Yield what kind of states they are, and states `[E, ...]`: the ends of every field's range, and between."""
    state, spec = _states(case), case.description.state_spec
    yield "random states", state
    lowest = {f.name: torch.full_like(state[f.name], f.low) for f in spec.fields}
    highest = {f.name: torch.full_like(state[f.name], f.high) for f in spec.fields}
    nothing = {f.name: torch.full_like(state[f.name], min(max(f.low, 0), f.high)) for f in spec.fields}
    yield "every field at its lowest", lowest
    yield "every field at its highest", highest
    yield "every field at 0", nothing
    for what, extreme in (("lowest", lowest), ("highest", highest), ("value 0", nothing)):
        yield (
            f"empty slots, fields at their {what}",
            {f.name: extreme[f.name] if _is_per_slot(f) else state[f.name] for f in spec.fields},
        )


def _extract(extract: Any, state: dict[str, Tensor], why_not: str) -> Features:
    """Return features of a state in which fields are missing that must not be read."""
    try:
        found: Features = extract(state)
    except KeyError as error:
        raise AssertionError(f"it reads the field {error}, {why_not}") from error
    return found


class _Noting(Mapping[str, Tensor]):
    """A state that notes which fields are looked up."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        self._state, self.read = state, set[str]()

    def __getitem__(self, name: str) -> Tensor:
        value = self._state[name]
        self.read.add(name)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._state)

    def __len__(self) -> int:
        return len(self._state)


# Columns ------------------------------------------------------------------------------------------------------------


@frozen
class _Movements:
    """Columns that moved in some row when a field was drawn anew, each bool `[D]`.

    Attributes:
        by_field: It was drawn anew in all slots.
        beyond_blank: The same, but without slots whose whole block was zero before or after.
        by_slot: It was drawn anew in one slot alone, for each slot; only of fields that slots have.
    """

    by_field: dict[str, Tensor]
    beyond_blank: dict[str, Tensor]
    by_slot: dict[str, list[Tensor]]


def _movements(case: Case) -> _Movements:
    state, other = _states(case), _states(case, seed=1)
    for entry in case.description.state_spec.fields:
        # Nothing at all and everything at once, which chance seldom brings about.
        state[entry.name][0], state[entry.name][1] = entry.low, entry.high
    before = case.extract(state).obs
    blank = _blank(case, before)
    least = ROUNDING * torch.tensor([max(feature.high - feature.low, 1.0) for feature in _columns(case)])
    found = _Movements({}, {}, {})
    for entry in case.description.state_spec.fields:
        name = entry.name
        after = case.extract({**state, name: other[name]}).obs
        moved = (after - before).abs() > least
        found.by_field[name] = moved.any(0)
        found.beyond_blank[name] = (moved & ~blank & ~_blank(case, after)).any(0)
        if not _is_per_slot(entry):
            continue
        found.by_slot[name] = []
        for slot in range(case.num_slots):
            value = state[name].clone()
            value[:, slot] = other[name][:, slot]
            apart = case.extract({**state, name: value}).obs - before
            found.by_slot[name].append((apart.abs() > least).any(0))
    return found


def _blank(case: Case, obs: Tensor) -> Tensor:
    """Return which columns belong to a slot whose block is all zero, bool `[E, D]`."""
    blank = torch.zeros_like(obs, dtype=torch.bool)
    for slot in range(case.num_slots if case.schema.per_slot else 0):
        columns = case.slot_columns(slot)
        blank[:, columns] = (obs[:, columns] == 0).all(1, keepdim=True)
    return blank


def _columns(case: Case) -> list[Feature]:
    """Return the feature of every column."""
    return [*case.schema.base, *case.schema.per_slot * case.schema.num_slots]


def _features(case: Case) -> Iterator[tuple[Feature, list[int]]]:
    """Yield every feature and its columns, one per slot for those that slots have."""
    base, per_slot = case.schema.base, case.schema.per_slot
    for number, feature in enumerate(base):
        yield feature, [number]
    for number, feature in enumerate(per_slot):
        yield feature, [len(base) + number + slot * len(per_slot) for slot in range(case.num_slots)]


def _sources(feature: Feature) -> set[str]:
    return {name.strip() for name in feature.source.split(",") if name.strip()}


def _is_per_slot(entry: StateField) -> bool:
    return entry.shape[1:2] == ("N",)


def _constant(case: Case) -> set[str]:
    """Return the fields that have one value only, so that nothing can move with them."""
    return {entry.name for entry in map(_range, case.description.state_spec.fields) if entry.low == entry.high}
