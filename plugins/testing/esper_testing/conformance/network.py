"""What every network must do."""

from __future__ import annotations

from typing import Any

import torch
from attrs import evolve
from torch import Tensor

from esper_core.composition.build import build_beside
from esper_core.composition.fit import ANY_SLOTS
from esper_core.contracts.actions import ActionSpec, ContinuousHead, Head
from esper_core.contracts.errors import IncompatiblePlan
from esper_core.contracts.features import Feature, FeatureSchema, IndexField
from esper_core.contracts.protocols import Features, NetworkOutput
from esper_core.policy.gaussian import LARGEST_LOG_STD, SMALLEST_LOG_STD, Gaussian
from esper_core.policy.policy import Policy
from esper_testing.case import ENVS, STEPS, Case, make_case, trainable
from esper_testing.conformance import any_slots
from esper_testing.conformance.chance import assert_repeatable, assert_seeded, noise_like
from esper_testing.conformance.everywhere import everywhere, in_every_layout, with_numbers
from esper_testing.conformance.subject import Subject
from esper_testing.conformance.suite import Suite
from esper_testing.conformance.tensors import (
    TOLERANCE,
    assert_dtype,
    assert_finite,
    assert_on,
    assert_reached,
    assert_same,
    assert_shape,
    copied,
    cut,
    leaves,
    mapped,
    unchanged,
)
from esper_testing.fake_device import FakeDevice
from esper_testing.randomness import surroundings
from esper_testing.states import illegal_actions, random_masks

DRAWS = 2048
"""Actions drawn in each place. Over the slot counts they are more than 10,000: a fault once in a thousand shows."""

EXTREME = 1e6
"""Size of observations at which logits still have to be numbers."""

HALF_TOLERANCE = 0.1
"""How far log-probabilities may be apart from those of float32 where networks compute in bf16, in nats."""

SUITE = Suite(
    "network",
    (
        "shapes",
        "input-dim",
        "any-actions",
        "numbers",
        "op-logits",
        "state",
        "deterministic",
        "seeded",
        "inputs-untouched",
        "finite-logits",
        "batch-of-one",
        "rows-independent",
        "memory",
        "reset",
        "act-equals-evaluate",
        "masked-never-sampled",
        "gradient",
        "state-dict",
        "float64",
        "bf16",
        "device",
        "slots-weights",
        "slots-permuted",
        "slots-doubled",
        "slots-padded",
    ),
)

SUITE.check("slots-weights", after=("shapes",), claim=ANY_SLOTS)(any_slots.weights)
for _name, _check in (("permuted", any_slots.permuted), ("doubled", any_slots.doubled), ("padded", any_slots.padded)):
    SUITE.check(f"slots-{_name}", after=("slots-weights", "deterministic"), claim=ANY_SLOTS)(_check)


@SUITE.check("shapes")
@everywhere
def shapes(subject: Subject, case: Case) -> None:
    """It returns a latent of `latent_dim` numbers and `head.size` logits per head, for any batch and length.

    Of slots there may be a row for each operation.
    """
    for envs, steps in ((ENVS, STEPS), (1, STEPS), (ENVS, 1)):
        output = _run(case, _part(case.features(), slice(0, envs), slice(0, steps)))
        assert_shape(output.latent, (envs, steps, case.network.latent_dim), "the latent")
        sizes = case.description.actions.sizes
        assert set(output.logits) == set(sizes), f"it has logits for {', '.join(output.logits)}, not {', '.join(sizes)}"
        _assert_rows(output, case.description.actions, (envs, steps))


@SUITE.check("input-dim", after=("shapes",))
@everywhere
def input_dim(subject: Subject, case: Case) -> None:
    """`input_dim` is the width of what its first layer takes in, so one of its weights is that wide."""
    width = case.network.input_dim
    weights = trainable(case.network).values()
    assert any(width in weight.shape for weight in weights), f"none of its weights is {width} wide, as `input_dim` says"


@SUITE.check("any-actions", after=("shapes",))
def any_actions(subject: Subject) -> None:
    """Heads and indices may have any name and size: names that a torch module has already, and a single choice."""
    names = ("train", "type", "values", "forward", "parameters")
    root, slot, *others = (Head(name, tuple(map(str, range(size)))) for size, name in enumerate(names, 2))
    numbers = ContinuousHead("float", ("double", "half"))
    actions = ActionSpec((root, slot, *others, Head("half", ("only",)), numbers), root=root.name, slot=slot.name)
    columns = tuple(Feature(f"column{i}", "", -1, 1, "") for i in range(5))
    indices = (IndexField("type", 2, 3), IndexField("forward", 1, 4))
    schema = FeatureSchema(columns[:2], columns[2:], num_slots=slot.size, indices=indices)
    context = evolve(subject.context(slot.size), actions=actions, feature_schema=schema)
    try:
        with surroundings(0):
            network = build_beside(subject.component, subject.full_index, context)
    except IncompatiblePlan:
        return
    generator = torch.Generator().manual_seed(0)
    obs = torch.rand(2, 3, schema.dim, generator=generator)
    drawn = {b.name: torch.randint(-1, b.vocabulary, (2, 3, b.width), generator=generator) for b in indices}
    output = network(Features(obs, drawn), network.initial_state(2), torch.zeros(2, 3, dtype=torch.bool))
    _assert_rows(output, actions, (2, 3))


@SUITE.check("numbers", after=("shapes",))
@with_numbers
def numbers(subject: Subject, case: Case) -> None:
    """Of numbers it gives means and log deviations: at first within their bounds, and a gradient moves each of them."""
    weights = list(trainable(case.network).values())
    logits = _forward(case.network, case.features()).logits
    for head in case.description.actions.continuous:
        deviations = Gaussian.of(logits[head.name]).log_std
        beyond = (deviations == SMALLEST_LOG_STD) | (deviations == LARGEST_LOG_STD)
        assert not bool(beyond.any()), f"log deviations of '{head.name}' begin at a bound, where nothing moves them"
        names = [f"{what} of {dim}" for what in ("mean", "log deviation") for dim in head.dims]
        for name, column in zip(names, logits[head.name].unbind(-1), strict=True):
            found: Any = [None]
            if column.requires_grad:
                found = torch.autograd.grad(column.sum(), weights, retain_graph=True, allow_unused=True)
            moved = any(gradient is not None and bool(gradient.any()) for gradient in found)
            assert moved, f"no weight moves the {name} of '{head.name}'"


@SUITE.check("op-logits", after=("shapes",), claim="network:op-logits")
@everywhere
def op_logits(subject: Subject, case: Case) -> None:
    """It claims `network:op-logits`: what it sees decides how likely each operation is."""
    root = case.description.actions.root
    if root is None:
        return
    logits = _run(case, case.features()).logits[root].flatten(0, 1)
    same = [
        op for op, column in zip(case.description.actions.ops, logits.T, strict=True) if column.unique().numel() < 2
    ]
    assert not same, f"the logits of {', '.join(same)} are the same in every state"


@SUITE.check("state", after=("shapes",))
@everywhere
def state(subject: Subject, case: Case) -> None:
    """Its recurrent state is a NamedTuple of tensors with the batch at dimension 1, zero at first, one shape always."""
    start, end = case.network.initial_state(ENVS), _run(case, case.features()).state
    assert hasattr(start, "_fields"), f"its initial state is a {type(start).__name__}, not a NamedTuple"
    assert type(end) is type(start), f"its state begins as {type(start).__name__} and becomes {type(end).__name__}"
    for name, before, after in zip(start._fields, start, end, strict=True):
        assert before.shape[1:2] == (ENVS,), (
            f"'{name}' is {tuple(before.shape)}: dimension 1 is not the batch of {ENVS}"
        )
        assert not before.any(), f"'{name}' is not zero at first, though zero is what an episode starts with"
        assert_shape(after, tuple(before.shape), f"'{name}' after a run")
        assert after.dtype == before.dtype, f"'{name}' begins as {before.dtype} and becomes {after.dtype}"


@SUITE.check("deterministic", after=("shapes",))
@everywhere
def deterministic(subject: Subject, case: Case) -> None:
    """The same input gives the same output: no chance, no memory outside the state, no other ways while evaluating."""
    seen, others = case.features(), case.features(seed=1)
    assert_repeatable(lambda: _run(case, seen), lambda: _run(case, others), "a forward pass", case.network)


@SUITE.check("seeded")
@in_every_layout
def seeded(subject: Subject, case: Case) -> None:
    """Its first weights follow from the plan's seed and from nothing else."""
    assert_seeded(lambda built: built.network, case, subject.full_index)


@SUITE.check("inputs-untouched", after=("shapes",))
@everywhere
def inputs_untouched(subject: Subject, case: Case) -> None:
    """It changes nothing that it is given, neither observations nor the state."""
    given = (case.features(), _run(case, case.features(seed=1)).state, _starts(case))
    with unchanged(given, "what it is given, before and after"):
        _run(case, *given)


@SUITE.check("finite-logits", after=("shapes",))
@everywhere
def finite_logits(subject: Subject, case: Case) -> None:
    """Its outputs are finite for zero and for extreme observations, and for any index."""
    features = case.features()
    for size in (0.0, EXTREME, -EXTREME):
        for highest in (False, True):
            indices = {
                block.name: torch.full_like(features.indices[block.name], block.vocabulary - 1 if highest else -1)
                for block in case.schema.indices
            }
            output = _run(case, features._replace(obs=torch.full_like(features.obs, size), indices=indices))
            assert_finite(output, f"observations of {size:g}")


@SUITE.check("batch-of-one", after=("state", "deterministic"))
@everywhere
def batch_of_one(subject: Subject, case: Case) -> None:
    """One environment by itself gives what it gives in a batch, state included."""
    features, before = case.features(), _run(case, case.features(seed=1)).state
    whole = _run(case, features, before, _starts(case))
    for row in (0, ENVS - 1):
        one = slice(row, row + 1)
        alone = _run(case, _part(features, one), _rows(before, one), _starts(case)[one])
        assert_same(alone, _output_rows(whole, one), f"environment {row} alone and among {ENVS}", TOLERANCE)


@SUITE.check("rows-independent", after=("state", "deterministic"))
@everywhere
def rows_independent(subject: Subject, case: Case) -> None:
    """What happens in one environment changes nothing in another: neither observations nor state are shared."""
    features, before = case.features(), _run(case, case.features(seed=1)).state
    output = _run(case, features, before)
    stranger = case.features(seed=2)
    obs = torch.cat([stranger.obs[:1] + 1.0, features.obs[1:]])
    indices = {name: torch.cat([stranger.indices[name][:1], v[1:]]) for name, v in features.indices.items()}
    arrays = {name: torch.cat([stranger.arrays[name][:1], v[1:]]) for name, v in features.arrays.items()}
    other = mapped(before, lambda value: torch.cat([value[:, :1] + 1.0, value[:, 1:]], dim=1))
    rest = slice(1, None)
    what = "another environment's outputs after environment 0 sees other things"
    changed = _run(case, Features(obs, indices, arrays), other)
    assert_same(_output_rows(changed, rest), _output_rows(output, rest), what, TOLERANCE)


@SUITE.check("memory", after=("state", "deterministic"))
@everywhere
def memory(subject: Subject, case: Case) -> None:
    """If it has a state, learning reaches back from the last step to the first; and no step ever knows a later one."""
    features = case.features()
    obs = features.obs.requires_grad_()
    latent = case.network(features._replace(obs=obs), case.network.initial_state(ENVS), _none()).latent
    middle = STEPS // 2
    early = _gradient(latent[:, middle], obs)
    assert not early[:, middle + 1 :].any(), "an output depends on what is seen after it"
    if not any(value.numel() for value in case.network.initial_state(ENVS)):
        return
    late = _gradient(latent[:, -1], obs)
    assert late[:, 0].any(), f"the last step does not depend on the first, {STEPS - 1} steps before"


@SUITE.check("reset", after=("state", "deterministic"))
@everywhere
def reset(subject: Subject, case: Case) -> None:
    """Where an episode starts the state is forgotten: one sequence with a start in it is two sequences."""
    features, begin = case.features(), STEPS // 2
    dirty = _run(case, case.features(seed=1)).state
    starts = _none()
    starts[:, 0] = True
    starts[::2, begin] = True
    whole = _run(case, features, dirty, starts)
    first, second, odd = slice(0, begin), slice(begin, None), slice(1, None, 2)
    on = _run(case, features)
    assert_same(_output_part(whole, odd), _output_part(on, odd), "a state forgotten at the first step", TOLERANCE)
    even = slice(0, None, 2)
    for times in (first, second):
        part = _run(case, _part(features, even, times))
        what = f"steps {times.start} to {times.stop or STEPS} by themselves and in a sequence with a start"
        assert_same(_output_part(whole, even, times), _output_part(part, slice(None)), what, TOLERANCE)


@SUITE.check("act-equals-evaluate", after=("batch-of-one", "rows-independent", "reset"))
@everywhere
def act_equals_evaluate(subject: Subject, case: Case) -> None:
    """Acting step by step gives the latents, log-probabilities, values and state of evaluating the whole sequence."""
    features, masks, starts = case.features(), case.masks(), _starts(case)
    generator = torch.Generator().manual_seed(0)
    recurrent, taken, log_probs, latents = case.policy.initial_state(ENVS), [], [], []
    for t in range(STEPS):
        now = slice(t, t + 1)
        latents.append(_run(case, _part(features, times=now), recurrent, starts[:, now]).latent)
        acted = case.policy.get_action(
            cut(features, slice(None), t),
            cut(masks, slice(None), t),
            recurrent,
            generator=generator,
            episode_start=starts[:, t],
        )
        recurrent = acted.state
        taken.append(acted.actions)
        log_probs.append({"log_prob": acted.log_prob, "q_taken": acted.values.q_taken, "value": acted.values.value})
    actions = {name: torch.stack([step[name] for step in taken], 1) for name in taken[0]}
    whole = case.policy.evaluate_actions(features, masks, None, actions, starts)
    what = "acting step by step and evaluating the sequence"
    assert_same(torch.cat(latents, 1), _run(case, features, start=starts).latent, f"{what}: the latent", TOLERANCE)
    evaluated = {"log_prob": whole.log_prob, "q_taken": whole.values.q_taken, "value": whole.values.value}
    for t, step in enumerate(log_probs):
        assert_same(step, cut(evaluated, slice(None), t), f"{what}, step {t}", TOLERANCE)
    assert_same(recurrent, whole.state, f"{what}: the state", TOLERANCE)


@SUITE.check("masked-never-sampled", after=("state",))
@everywhere
def masked_never_sampled(subject: Subject, case: Case) -> None:
    """In more than 10,000 draws no policy with it ever takes an illegal action."""
    actions, seen = case.description.actions, case.features()
    generator = torch.Generator().manual_seed(case.num_slots)
    rows = torch.arange(DRAWS) % (ENVS * STEPS)
    features = mapped(seen, lambda value: value.flatten(0, 1)[rows])
    masks = random_masks(actions, (DRAWS,), generator, legal=0.3)
    taken = case.policy.get_action(features, masks, generator=generator).actions
    for name, illegal in illegal_actions(actions, masks, taken).items():
        count = int(illegal.sum())
        assert not count, f"head '{name}' took an illegal action in {count} of {DRAWS} draws"


@SUITE.check("gradient", after=("shapes",))
@everywhere
def gradient(subject: Subject, case: Case) -> None:
    """A gradient, finite and not 0, reaches every trainable parameter from the logits and the latent together."""
    case.network.zero_grad(set_to_none=True)
    _scalar(_forward(case.network, case.features())).backward()
    assert_reached(case.network)


@SUITE.check("state-dict", after=("deterministic",))
@in_every_layout
def state_dict(subject: Subject, case: Case) -> None:
    """All that it has learned is in its `state_dict`: another one with these weights computes the very same."""
    other = make_case(evolve(case.plan, seed=case.plan.seed + 1), subject.full_index, case.num_slots)
    saved = case.network.state_dict()
    strange = [name for name, value in saved.items() if not isinstance(value, Tensor)]
    assert not strange, f"its state_dict holds what is not a tensor and cannot be saved: {', '.join(strange)}"
    other.network.load_state_dict(copied(dict(saved)))
    features = case.features()
    assert_same(_run(other, features), _run(case, features), "outputs with the weights loaded into another one")


@SUITE.check("float64", after=("deterministic",))
@in_every_layout
def float64(subject: Subject, case: Case) -> None:
    """Built in float64 it computes in float64, and the same but for rounding."""
    double = _again(subject, case, dtype=torch.float64)
    output = _run(double, double.features())
    assert_dtype(torch.float64, {"latent": output.latent, "logits": output.logits})
    double.network.load_state_dict(case.network.state_dict())
    single = _run(case, case.features())
    assert_same(single, _run(double, double.features()), "outputs in float32 and in float64", 10 * TOLERANCE)


@SUITE.check("bf16", after=("act-equals-evaluate", "gradient"))
@in_every_layout
def bf16(subject: Subject, case: Case) -> None:
    """With `--precision bf16` it runs, keeps near to float32, and every parameter still gets a gradient."""
    half = Policy(case.network, case.policy.critic, case.policy.actions, "bf16")
    features, masks, actions = case.features(), case.masks(), case.actions()
    with torch.no_grad():
        full = case.policy.evaluate_actions(features, masks, None, actions, _starts(case))
    case.network.zero_grad(set_to_none=True)
    output = half.evaluate_actions(features, masks, None, actions, _starts(case))
    for name, expected in full.log_prob.items():
        # Some of the actions are illegal: so unlikely that no rounding matters.
        where = expected > torch.finfo(torch.float32).min / 2
        what = f"log-probabilities of '{name}' in bf16 and in float32"
        assert_same(output.log_prob[name][where], expected[where], what, HALF_TOLERANCE)
    torch.stack([_scalar(output.logits), _scalar(output.values.q_taken)]).sum().backward()
    assert_reached(case.network)
    seen, legal = cut((features, masks), slice(None), 0)
    acted = half.get_action(seen, legal, output.state, generator=torch.Generator().manual_seed(0))
    assert_finite(mapped(acted.state, Tensor.detach), "the state after a step in bf16")


@SUITE.check("device", after=("state",))
@in_every_layout
def device(subject: Subject, case: Case) -> None:
    """It acts and learns on another device than the CPU without making a tensor on a wrong one."""
    with FakeDevice() as there:
        away = _again(subject, case, device=there.name)
        features, masks, actions, starts = mapped(
            (case.features(), case.masks(), case.actions(), _starts(case)), lambda value: value.to(there.name)
        )
        seen, legal = cut((features, masks), slice(None), 0)
        acted = away.policy.get_action(seen, legal, episode_start=starts[:, 0])
        evaluation = away.policy.evaluate_actions(features, masks, acted.state, actions, starts)
        _scalar({**evaluation.log_prob, "value": evaluation.values.q_taken}).backward()
    assert_on(there.name, {"logits": evaluation.logits, "state": evaluation.state})


def _assert_rows(output: NetworkOutput, actions: ActionSpec, lead: tuple[int, int]) -> None:
    """Fail when logits are not `[E, T, head.size]`, or `[E, T, O, N]` of slots."""
    for name, size in actions.sizes.items():
        row = output.logits.get(name)
        each = name == actions.slot and isinstance(row, Tensor) and row.dim() == 4
        shape = (*lead, *((len(actions.ops),) if each else ()), size)
        assert_shape(row, shape, f"the row of logits for '{name}'")


def _again(subject: Subject, case: Case, **how: Any) -> Case:
    """Return the case, built anew."""
    return make_case(case.plan, subject.full_index, case.num_slots, **how)


def _none() -> Tensor:
    """Return flags `[E, T]` of no episode that starts."""
    return torch.zeros(ENVS, STEPS, dtype=torch.bool)


def _starts(case: Case) -> Tensor:
    """Return flags `[E, T]` of episodes that start, each environment at times of its own."""
    generator = torch.Generator().manual_seed(case.num_slots)
    return torch.rand(ENVS, STEPS, generator=generator) < 0.3


def _forward(network: Any, features: Features, state: Any = None, start: Tensor | None = None) -> NetworkOutput:
    envs, steps = features.obs.shape[:2]
    state = network.initial_state(envs) if state is None else state
    start = torch.zeros(envs, steps, dtype=torch.bool) if start is None else start
    output: NetworkOutput = network(features, state, start)
    return output


@torch.no_grad()
def _run(case: Case, features: Features, state: Any = None, start: Tensor | None = None) -> NetworkOutput:
    return _forward(case.network, features, state, start)


def _part(features: Features, rows: slice = slice(None), times: slice = slice(None)) -> Features:
    part: Features = cut(features, rows, times)
    return part


def _rows(state: Any, rows: slice) -> Any:
    return cut(state, slice(None), rows)


def _output_rows(output: NetworkOutput, rows: slice) -> dict[str, Any]:
    """Return the outputs and the state of some environments."""
    return {**_output_part(output, rows), "state": _rows(output.state, rows)}


def _output_part(output: NetworkOutput, rows: slice, times: slice = slice(None)) -> dict[str, Any]:
    part: dict[str, Any] = cut({"latent": output.latent, "logits": output.logits}, rows, times)
    return part


def _scalar(value: Any) -> Tensor:
    """Return a number in which every entry of an output counts by an amount of its own."""
    tensors = [tensor for tensor in leaves(value).values() if tensor.requires_grad]
    return torch.stack([(noise_like(tensor, seed) * tensor).sum() for seed, tensor in enumerate(tensors)]).sum()


def _gradient(output: Tensor, obs: Tensor) -> Tensor:
    (found,) = torch.autograd.grad(_scalar(output), obs, retain_graph=True, allow_unused=True)
    return torch.zeros_like(obs) if found is None else found
