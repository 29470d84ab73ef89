"""What every rule must do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from esper_core.composition.build import build_beside
from esper_core.composition.plan import describe_plan
from esper_core.contracts.actions import ActionSpec, ContinuousHead
from esper_core.contracts.protocols import Masks, Rule
from esper_core.policy.legality import find_illegal
from esper_core.policy.legality import neutral as calm
from esper_testing.conformance.subject import SLOTS, Subject
from esper_testing.conformance.suite import Suite
from esper_testing.episodes import Choose, play
from esper_testing.fake_device import FakeDevice
from esper_testing.randomness import untouched_randomness
from esper_testing.reference.config import NUMBERS
from esper_testing.reference.plugin import DISTRIBUTION
from esper_testing.states import find_stray, random_masks, random_state

if TYPE_CHECKING:
    from esper_core.contracts.protocols import State

SUITE = Suite(
    "rule",
    (
        "follows-slots",
        "legal",
        "neutral",
        "numbers",
        "reads",
        "deterministic",
        "forgets",
        "randomness",
        "episode",
        "device",
    ),
)

DRAWS = 65_536
"""Actions looked at. One in a thousand that ignores the mask of any one head of growth is missed in one of 600 runs."""

LEGAL = 0.6
"""Share of the operations and slots that are legal."""

ENVS = 16


class Situation(NamedTuple):
    """Random states and consistent random masks `[E, ...]`.

    Every head but the operation has one legal value, so that a rule which ignores its mask is likely to be seen.
    """

    actions: ActionSpec
    state: State
    masks: Masks


def situation(subject: Subject, slots: int, envs: int, seed: int = 0, *, options: tuple[str, ...] = ()) -> Situation:
    """Return a situation of the environment that the rule is for."""
    known = describe_plan(subject.plan(slots, options=options), subject.full_index)
    generator = torch.Generator().manual_seed(seed)
    state = random_state(known.state_spec, known.actions, envs, slots, generator)
    masks = random_masks(known.actions, (envs,), generator, legal=LEGAL)
    return Situation(known.actions, state, narrowed(known.actions, masks, generator))


def narrowed(spec: ActionSpec, masks: Masks, generator: torch.Generator) -> Masks:
    """Return masks that leave one legal value of every head but the root, and one slot to every operation that has any.

    Args:
        spec: The action table.
        masks: Consistent masks `[E, ...]`.
        generator: Chooses what stays legal.
    """

    def one(legal: torch.Tensor) -> torch.Tensor:
        drawn = torch.rand(legal.shape, generator=generator).masked_fill(~legal, -1.0).argmax(-1)
        return torch.nn.functional.one_hot(drawn, legal.shape[-1]).bool() & legal

    heads = {name: legal if name == spec.root else one(legal) for name, legal in masks.heads.items()}
    if spec.slot is None or masks.slot_given_op is None:
        return Masks(heads)
    slots = one(masks.slot_given_op)
    return Masks({**heads, spec.slot: slots.any(-2)}, slots)


def _act(rule: Rule, seen: Situation, seed: int = 0) -> dict[str, torch.Tensor]:
    return rule(seen.state, seen.masks, torch.Generator().manual_seed(seed))


def _several(subject: Subject, rule: Rule, seeds: range) -> list[dict[str, torch.Tensor]]:
    """Return what it does in a few situations one after another."""
    return [_act(rule, situation(subject, 3, ENVS, seed), seed) for seed in seeds]


def _different(one: list[dict[str, torch.Tensor]], two: list[dict[str, torch.Tensor]]) -> list[str]:
    return sorted({name for a, b in zip(one, two, strict=True) for name in a if not torch.equal(a[name], b[name])})


@SUITE.check("follows-slots")
def follows_slots(subject: Subject) -> None:
    """It acts on every head, int64 `[E]` or float32 `[E, n]`, for every number of slots and of environments."""
    for slots in SLOTS:
        for envs in (1, 4):
            rule, seen = subject.build(slots), situation(subject, slots, envs)
            rule.reset(envs)
            actions = _act(rule, seen)
            names, expected = set(actions), set(seen.actions.names)
            assert names == expected, f"N={slots}: it acts on the heads {sorted(names)}, not {sorted(expected)}"
            for name, value in actions.items():
                head, shape, what = seen.actions.head(name), tuple(value.shape), f"N={slots}, E={envs}: its '{name}'"
                right: tuple[int, ...] = (envs,)
                dtype = "int64"
                if isinstance(head, ContinuousHead):
                    right, dtype = (envs, len(head.dims)), "float32"
                assert shape == right, f"{what} has shape {shape}, not {right}"
                assert value.dtype == getattr(torch, dtype), f"{what} is {value.dtype}, not {dtype}"


@SUITE.check("legal", after=("follows-slots",))
def legal(subject: Subject) -> None:
    """It never chooses what is masked, in many thousands of states in which little is legal."""
    for slots, draws in ((3, DRAWS), (1, 512), (8, 512)):
        rule, seen = subject.build(slots), situation(subject, slots, draws)
        rule.reset(draws)
        actions = _act(rule, seen)
        for name, where in find_illegal(seen.actions, seen.masks, actions).items():
            row = int(where.int().argmax())
            op = f" for {seen.actions.ops[int(actions[seen.actions.root][row])]}" if seen.actions.root else ""
            assert not bool(where.any()), (
                f"N={slots}: in {int(where.sum())} of {draws} draws its '{name}' is masked: for example "
                f"{actions[name][row].tolist()}{op if name != seen.actions.root else ''}"
            )


@SUITE.check("neutral", after=("follows-slots",))
def neutral(subject: Subject) -> None:
    """A head that does not matter to the chosen operation takes its neutral value."""
    rule, seen = subject.build(3), situation(subject, 3, DRAWS // 8)
    rule.reset(DRAWS // 8)
    actions = _act(rule, seen)
    for name, where in find_stray(seen.actions, actions).items():
        value = actions[name][int(where.int().argmax())].tolist()
        expected = calm(seen.actions, 1)[name][0].tolist()
        assert not bool(where.any()), f"its '{name}' is {value} where it does not matter, not {expected}"


@SUITE.check("numbers", after=("legal", "neutral"))
def numbers(subject: Subject) -> None:
    """Of numbers it returns float32 `[E, n]` within their bounds, and u = 0 of those that do not matter."""
    if subject.environment().distribution != DISTRIBUTION:
        return
    for layout in NUMBERS:
        options = (f"environment.layout={layout}",)
        rule, seen = subject.build(3, options=options), situation(subject, 3, ENVS, options=options)
        rule.reset(ENVS)
        actions = _act(rule, seen)
        stray = find_stray(seen.actions, actions)
        for head in seen.actions.continuous:
            value, shape, what = actions[head.name], (ENVS, len(head.dims)), f"{layout} actions: its '{head.name}'"
            fits = value.dtype == torch.float32 and tuple(value.shape) == shape
            assert fits, f"{what} is {value.dtype} {tuple(value.shape)}, not float32 {shape}"
            beyond = find_illegal(seen.actions, seen.masks, actions)[head.name]
            assert not bool(beyond.any()), f"{what} is beyond its bounds: {value[int(beyond.int().argmax())].tolist()}"
            calm_enough = head.name not in stray or not bool(stray[head.name].any())
            assert calm_enough, f"{what} is not neutral where it does not matter"


@SUITE.check("reads", after=("follows-slots",))
def reads(subject: Subject) -> None:
    """It looks at no field of the state that its spec does not declare in `reads`."""
    declared, seen = subject.spec.reads, situation(subject, 3, ENVS)
    rule = subject.build(3)
    rule.reset(ENVS)
    try:
        # Who needs no field still has to see how many rows there are.
        given = {name: seen.state[name] for name in declared} or {"anything": torch.zeros(ENVS)}
        _act(rule, seen._replace(state=given))
    except KeyError as error:
        raise AssertionError(f"it reads {error}; its spec declares {', '.join(declared) or 'nothing'}") from error


@SUITE.check("deterministic", after=("follows-slots",))
def deterministic(subject: Subject) -> None:
    """The same generator seed gives the same actions."""
    outcomes = []
    for _ in range(2):
        rule = subject.build(3)
        rule.reset(ENVS)
        outcomes.append(_several(subject, rule, range(8)))
    names = _different(*outcomes)
    assert not names, f"with the same states, masks and generator seed, other actions of {', '.join(names)}"


@SUITE.check("forgets", after=("deterministic",))
def forgets(subject: Subject) -> None:
    """`reset` forgets earlier episodes, also those of more environments."""
    fresh, used = subject.build(3), subject.build(3)
    used.reset(ENVS)
    _several(subject, used, range(20, 28))
    used.reset(2 * ENVS)
    outcomes = []
    for rule in (fresh, used):
        rule.reset(ENVS)
        outcomes.append(_several(subject, rule, range(8)))
    names = _different(*outcomes)
    assert not names, f"after reset it still knows of earlier episodes: it chooses other {', '.join(names)}"


@SUITE.check("randomness", after=("follows-slots",))
def randomness(subject: Subject) -> None:
    """Its random numbers come from the generator it is given, none from the global ones."""
    rule = subject.build(3)
    with untouched_randomness("it"):
        rule.reset(ENVS)
        _several(subject, rule, range(4))


@SUITE.check("episode", after=("legal",))
def episode(subject: Subject) -> None:
    """It plays whole episodes of its environment, whose masks it keeps to."""
    parts = subject.parts(3, "environment", "masks")
    environment: Any = parts["environment"]
    rule = subject.build(3)
    try:
        for number in range(2):
            rule.reset(environment.num_envs)
            play(
                environment,
                parts["masks"],
                environment.horizon,
                _acting(rule, environment.actions, number),
                seed=number,
            )
    finally:
        environment.close()


def _acting(rule: Rule, spec: ActionSpec, seed: int) -> Choose:
    """Return the rule as a player whose every action is checked."""
    generator = torch.Generator().manual_seed(seed)

    def choose(t: int, state: State, masks: Masks) -> dict[str, torch.Tensor]:
        actions = rule(state, masks, generator)
        for name, where in find_illegal(spec, masks, actions).items():
            assert not bool(where.any()), f"at step {t} of an episode its '{name}' is masked"
        return actions

    return choose


@SUITE.check("device", after=("follows-slots",))
def device(subject: Subject) -> None:
    """It acts on whatever device the masks lie on; the generator may lie on the CPU."""
    seen = situation(subject, 3, ENVS)
    with FakeDevice() as fake:
        context = subject.context(3, device=fake.name)
        rule = build_beside(subject.component, subject.full_index, context)
        rule.reset(ENVS)
        slots = seen.masks.slot_given_op
        masks = Masks(
            {name: value.to(fake.name) for name, value in seen.masks.heads.items()},
            None if slots is None else slots.to(fake.name),
        )
        state = {name: value.to(fake.name) for name, value in seen.state.items()}
        for name, value in rule(state, masks, torch.Generator()).items():
            assert value.device.type == fake.name, f"its '{name}' lies on {value.device}, not where the masks are"
