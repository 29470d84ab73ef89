"""What every mask provider must do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from esper_core.composition.plan import describe_plan
from esper_core.contracts.actions import ActionSpec
from esper_core.contracts.errors import EsperError
from esper_core.contracts.protocols import MaskProvider, Masks
from esper_testing.conformance.subject import SLOTS, Subject
from esper_testing.conformance.suite import Suite
from esper_testing.conformance.tensors import copied, cut, unchanged
from esper_testing.episodes import legal_play, play
from esper_testing.fake_device import FakeDevice
from esper_testing.randomness import untouched_randomness
from esper_testing.states import random_state

if TYPE_CHECKING:
    from esper_core.contracts.protocols import State

SUITE = Suite(
    "masks",
    ("follows-slots", "every-slot", "legal", "neutral", "consistent", "pure", "reads", "randomness", "sound", "device"),
)

ROWS = 10_000
"""Random states looked at; a fault in one of a thousand is then missed with probability 5e-5."""

ENVS, EPISODES = 3, 3


def _states(subject: Subject, slots: int, rows: int = ROWS, seed: int = 0) -> tuple[ActionSpec, State]:
    """Return the action table and random states `[rows, ...]` of the environment it is planned with."""
    known = describe_plan(subject.plan(slots), subject.full_index)
    generator = torch.Generator().manual_seed(seed)
    return known.actions, random_state(known.state_spec, known.actions, rows, slots, generator)


def _columns(masks: Masks) -> dict[str, torch.Tensor]:
    """Return all tensors of masks by name."""
    slots = {} if masks.slot_given_op is None else {"slot_given_op": masks.slot_given_op}
    return {**masks.heads, **slots}


@SUITE.check("follows-slots")
def follows_slots(subject: Subject) -> None:
    """Its masks have the shapes of the action table and type bool, for every number of slots."""
    for slots in SLOTS:
        actions, state = _states(subject, slots, rows=7)
        masks = subject.build(slots)(state)
        expected: dict[str, tuple[int, ...]] = {head.name: (7, head.size) for head in actions.categorical}
        if actions.slot is None:
            assert masks.slot_given_op is None, f"N={slots}: it gives slot_given_op, and no head is a slot"
        else:
            assert masks.slot_given_op is not None, f"N={slots}: it gives no slot_given_op"
            expected["slot_given_op"] = (7, len(actions.ops), slots)
        found = _columns(masks)
        assert found.keys() == expected.keys(), f"N={slots}: its masks are of {sorted(found)}, not {sorted(expected)}"
        for name, shape in expected.items():
            assert tuple(found[name].shape) == shape, (
                f"N={slots}: {name} has shape {tuple(found[name].shape)}, not {shape}"
            )
            assert found[name].dtype == torch.bool, f"N={slots}: {name} is {found[name].dtype}, not bool"


@SUITE.check("every-slot", after=("follows-slots",))
def every_slot(subject: Subject) -> None:
    """Some operation is legal on every slot in some state, for every number of slots."""
    for slots in SLOTS:
        actions, state = _states(subject, slots)
        if actions.slot is None:
            return
        given = subject.build(slots)(state).slot_given_op
        uses = torch.tensor(actions.relevance(actions.slot))
        never = (~given[:, uses].flatten(0, 1).any(0)).nonzero().flatten().tolist()
        assert not never, f"N={slots}: in {ROWS} random states nothing is ever legal on the slots {never}"


@SUITE.check("legal", after=("follows-slots",))
def legal(subject: Subject) -> None:
    """In every state there is a legal operation, and a legal value of every head that matters to a legal operation."""
    for slots in SLOTS:
        actions, state = _states(subject, slots)
        masks = subject.build(slots)(state)
        ops = None if actions.root is None else masks.heads[actions.root]
        if ops is not None:
            _every(ops.any(-1), f"N={slots}: no operation is legal", state)
        for head in actions.categorical:
            if head.name == actions.root:
                continue
            if ops is None:
                _every(masks.heads[head.name].any(-1), f"N={slots}: {head.name} has no legal value", state)
                continue
            some = masks.heads[head.name].any(-1, keepdim=True)
            if head.name == actions.slot:
                assert masks.slot_given_op is not None
                some = masks.slot_given_op.any(-1)
            wanted = ops & torch.tensor(actions.relevance(head.name))
            for op, label in enumerate(actions.ops):
                fine = (some.expand_as(ops) | ~wanted)[:, op]
                _every(fine, f"N={slots}: {label} is legal, and no value of {head.name} is", state)


@SUITE.check("neutral", after=("follows-slots",))
def neutral(subject: Subject) -> None:
    """The neutral operation is legal in every state."""
    for slots in SLOTS:
        actions, state = _states(subject, slots)
        if actions.root is None:
            return
        root = actions.category(actions.root)
        allowed = subject.build(slots)(state).heads[root.name][:, root.neutral]
        _every(allowed, f"N={slots}: {root.labels[root.neutral]}, the neutral operation, is illegal", state)


@SUITE.check("consistent", after=("follows-slots",))
def consistent(subject: Subject) -> None:
    """An operation on slots is legal exactly where some slot is legal for it, a slot where it is for some operation."""
    for slots in SLOTS:
        actions, state = _states(subject, slots)
        if actions.slot is None or actions.root is None:
            return
        masks = subject.build(slots)(state)
        assert masks.slot_given_op is not None
        ops, uses = masks.heads[actions.root], actions.relevance(actions.slot)
        for op, label in enumerate(actions.ops):
            if uses[op]:
                some = masks.slot_given_op[:, op].any(-1)
                _every(ops[:, op] == some, f"N={slots}: {label} is legal or not, and its slots say otherwise", state)
        union = (masks.slot_given_op & ops[..., None])[:, torch.tensor(uses)].any(1)
        same = (masks.heads[actions.slot] == union).all(-1)
        _every(same, f"N={slots}: the mask of '{actions.slot}' is not the union over legal operations", state)


@SUITE.check("pure", after=("follows-slots",))
def pure(subject: Subject) -> None:
    """What is legal follows from the state alone: from no other row, not from the order, not from what came before."""
    for slots in SLOTS:
        _, state = _states(subject, slots)
        provider = subject.build(slots)
        with unchanged(state, f"N={slots}: the state, before and after"):
            first = provider(state)
        kept = copied(_columns(first))
        backwards = torch.arange(ROWS).flip(0)
        _same(provider(state), kept, slice(None), f"N={slots}: asked again")
        _same(provider(cut(state, backwards)), kept, backwards, f"N={slots}: the rows in another order")
        _same(subject.build(slots)(state), kept, slice(None), f"N={slots}: built anew")
        for row in range(0, ROWS, ROWS // 50):
            one = slice(row, row + 1)
            _same(provider(cut(state, one)), kept, one, f"N={slots}: row {row} alone")
        _same(first, kept, slice(None), f"N={slots}: what it returned before, looked at later")


def _same(masks: Masks, expected: dict[str, torch.Tensor], rows: Any, when: str) -> None:
    for name, value in _columns(masks).items():
        different = (value != expected[name][rows]).flatten(1).any(-1)
        count = int(different.sum())
        assert not count, f"{when}: {name} differs in {count} of {len(different)} rows"


@SUITE.check("reads", after=("follows-slots",))
def reads(subject: Subject) -> None:
    """It looks at no field of the state that its spec does not declare in `reads`."""
    provider, declared = subject.build(3), subject.spec.reads
    _, state = _states(subject, 3)
    # Who needs no field still has to see how many rows there are.
    given = {name: state[name] for name in declared} or {"anything": torch.zeros(ROWS)}
    try:
        masks = provider(given)
    except KeyError as error:
        raise AssertionError(f"it reads {error}; its spec declares {', '.join(declared) or 'nothing'}") from error
    _same(masks, _columns(provider(state)), slice(None), "with the declared fields alone")


@SUITE.check("randomness", after=("follows-slots",))
def randomness(subject: Subject) -> None:
    """It neither draws from nor seeds the global random numbers of torch, numpy and Python."""
    _, state = _states(subject, 3)
    provider = subject.build(3)
    with untouched_randomness("it"):
        provider(state)


@SUITE.check("sound", after=("legal", "consistent", "pure"))
def sound(subject: Subject) -> None:
    """Whatever it allows, its environment accepts: uniform legal play, for every number of slots."""
    for slots in SLOTS:
        parts = subject.parts(slots, "environment", "masks", envs=ENVS)
        environment: Any = parts["environment"]
        provider: MaskProvider = parts["masks"]
        try:
            for number in range(EPISODES if slots == 3 else 1):
                play(environment, provider, environment.horizon, legal_play(environment, number), seed=number)
        except EsperError as error:
            raise AssertionError(f"N={slots}: {subject.environment()} refuses what it allows: {error}") from error
        finally:
            environment.close()


@SUITE.check("device", after=("follows-slots",))
def device(subject: Subject) -> None:
    """It works on whatever device the state lies on, and its masks lie there too."""
    for slots in (1, 3):
        _, state = _states(subject, slots, rows=5)
        with FakeDevice() as fake:
            provider = subject.build(slots, device=fake.name)
            masks = provider({name: value.to(fake.name) for name, value in state.items()})
            for name, value in _columns(masks).items():
                assert value.device.type == fake.name, f"N={slots}: {name} lies on {value.device}, the state elsewhere"


def _every(fine: torch.Tensor, message: str, state: State) -> None:
    """Fail unless all rows are fine; the message says what the state of the first other row is."""
    if not bool(fine.all()):
        row = int((~fine).nonzero()[0])
        where = ", ".join(f"{name} {value[row].tolist()}" for name, value in list(state.items())[:8])
        raise AssertionError(f"{message}, in {int((~fine).sum())} of {len(fine)} states, such as {where}")
