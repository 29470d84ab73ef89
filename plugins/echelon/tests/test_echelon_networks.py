"""What is particular to the networks: sizes, sets of contacts, and where gradients go and where they must not."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from attrs import evolve
from torch import Tensor, nn

from esper_core import ActionSpec, ContinuousHead, Feature, FeatureSchema, Head, IndexField, SlotConfig, StateSpec
from esper_core.contracts.errors import IncompatiblePlan
from esper_core.contracts.protocols import BuildContext, Features, Masks
from esper_core.policy.gaussian import LARGEST_LOG_STD, SMALLEST_LOG_STD
from esper_core.policy.policy import Evaluation, Policy
from esper_echelon import ActorCriticLSTM, CombatSuiteActorCritic, LSTMState, SuiteObservation, flat_obs_to_suite_obs
from esper_echelon.networks.config import ActorCriticConfig, CombatSuiteConfig
from esper_echelon.networks.critic import LinearValue
from esper_echelon.networks.encoders import POOLS, DeepSetEncoder
from esper_echelon.perception.layout import COLUMNS, CONTACT_MASK_AT, CONTACTS_AT, SQUAD_AT, SQUAD_MASK_AT
from esper_echelon.simulation.tables import ACTIONS

ENVS, STEPS = 3, 7
SCHEMA = FeatureSchema(tuple(Feature(name, "", -1, 1, "suite") for name in COLUMNS))
CONTEXT = BuildContext(
    *(SlotConfig.for_grid(1, 1), ActionSpec((ContinuousHead("act", ACTIONS),)), StateSpec(()), SCHEMA),
    *(0, 0.99, ENVS, 0, "cpu", torch.float64),
)
MASKS = Masks({})

NETWORKS: dict[str, Callable[[BuildContext], Any]] = {
    "combat-suite": lambda context: CombatSuiteActorCritic(CombatSuiteConfig(), context),
    "actor-critic-lstm": lambda context: ActorCriticLSTM(ActorCriticConfig(), context),
}


@pytest.fixture(params=NETWORKS)
def policy(request: pytest.FixtureRequest) -> Policy:
    return make(request.param)


def make(name: str) -> Policy:
    torch.manual_seed(0)
    network = NETWORKS[name](CONTEXT)
    critic = LinearValue(None, evolve(CONTEXT, latent_dim=network.latent_dim))
    return Policy(network, critic, CONTEXT.actions).double()


def suites(envs: int = ENVS, steps: int = STEPS, padded: float = 0.4) -> SuiteObservation:
    """Observations `[E, T, ...]` whose masks are 0 and 1."""
    generator = torch.Generator().manual_seed(1)
    suite = flat_obs_to_suite_obs(torch.randn(envs, steps, 706, generator=generator, dtype=torch.float64))
    draws = (torch.rand(envs, steps, size, generator=generator, dtype=torch.float64) for size in (20, 12))
    contact_mask, squad_mask = ((draw < padded).double() for draw in draws)
    return suite._replace(contact_mask=contact_mask, squad_mask=squad_mask)


def evaluate(policy: Policy, obs: Tensor, start: Tensor | None = None) -> Evaluation:
    """Evaluate the same actions everywhere."""
    generator = torch.Generator().manual_seed(2)
    acts = torch.randn(*obs.shape[:2], len(ACTIONS), generator=generator, dtype=torch.float64)
    return policy.evaluate_actions(Features(obs, {}), MASKS, None, {"act": acts}, start)


def reached(module: nn.Module) -> dict[str, bool]:
    """Parameter by name → whether a finite gradient that is not 0 reached it."""
    parameters = module.named_parameters()
    return {n: p.grad is not None and bool(p.grad.isfinite().all() and p.grad.any()) for n, p in parameters}


# Sizes --------------------------------------------------------------------------------------------------------------


def count(*modules: nn.Module) -> int:
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def test_published_sizes_of_the_suite_network() -> None:
    policy = make("combat-suite")
    encoder, network = policy.network.encoder, policy.network
    parts = (encoder.contact_encoder, encoder.squad_encoder, encoder.ego_encoder, encoder.fusion, network.lstm)
    assert [count(part) for part in parts] == [14_272, 3_584, 2_240, 40_448, 132_096]
    assert count(policy) == 193_939 and network.input_dim == 182


@pytest.mark.parametrize(
    ("columns", "numbers", "hidden", "parameters"),
    [(706, 9, 128, 240_403), (1014, 84, 128, 289_577), (64, 9, 32, 11_923)],
)
def test_published_sizes_of_the_flat_network(columns: int, numbers: int, hidden: int, parameters: int) -> None:
    schema = FeatureSchema(tuple(Feature(str(i), "", -1, 1, "") for i in range(columns)))
    actions = ActionSpec((ContinuousHead("act", tuple(map(str, range(numbers)))),))
    context = evolve(CONTEXT, feature_schema=schema, actions=actions, latent_dim=hidden)
    network = ActorCriticLSTM(ActorCriticConfig(hidden_dim=hidden, lstm_hidden_dim=hidden), context)
    assert count(network, LinearValue(None, context)) == parameters
    assert [type(layer) for layer in network.encoder] == [nn.Linear, nn.Tanh] * 2


def test_first_actions_are_all_about_as_likely_and_deviations_the_same_in_every_state(policy: Policy) -> None:
    logits = policy.network(Features(suites().flat(), {}), policy.initial_state(ENVS), torch.zeros(ENVS, STEPS).bool())
    mean, log_std = logits.logits["act"].chunk(2, dim=-1)
    assert 0 < float(mean.detach().abs().max()) < 0.1 and not log_std.any()
    with torch.no_grad():
        policy.network.actor_logstd.copy_(torch.arange(9))
    after = evaluate(policy, suites().flat()).logits["act"].chunk(2, dim=-1)
    assert torch.equal(after[0], mean) and torch.equal(after[1], torch.arange(9.0).double().expand(ENVS, STEPS, 9))
    weight = policy.critic.critic.weight
    assert float(torch.linalg.vector_norm(weight.detach())) == pytest.approx(1, rel=1e-5)


def test_state_is_a_named_tuple_from_the_core(policy: Policy) -> None:
    from esper_core.contracts import protocols

    assert LSTMState is protocols.LSTMState
    h, c = state = policy.initial_state(4)
    assert type(state) is LSTMState and h.shape == c.shape == (1, 4, 128)


def test_the_flat_network_takes_any_heads_and_indices() -> None:
    heads = (Head("type", ("a", "b")), ContinuousHead("push", ("x", "y")), Head("only", ("one",)))
    schema = FeatureSchema(SCHEMA.base[:3], indices=(IndexField("type", 2, 5),))
    context = evolve(CONTEXT, actions=ActionSpec(heads), feature_schema=schema)
    network = ActorCriticLSTM(ActorCriticConfig(embed_dim=3), context)
    assert network.input_dim == 9 and network.actor_mean.out_features == 5 and network.actor_logstd.shape == (2,)
    seen = {index: Features(torch.zeros(1, 1, 3), {"type": torch.tensor([[[0, index]]])}) for index in range(-1, 5)}
    start = torch.zeros(1, 1, dtype=torch.bool)
    outputs = [network(features, network.initial_state(1), start) for features in seen.values()]
    assert {name: value.shape[2] for name, value in outputs[0].logits.items()} == {"type": 2, "push": 4, "only": 1}
    assert len({tuple(output.latent.flatten().tolist()) for output in outputs}) == 6
    without = ActorCriticLSTM(ActorCriticConfig(), evolve(context, actions=ActionSpec(heads[:1])))
    assert without.actor_logstd is None


@pytest.mark.parametrize(
    "schema",
    [
        FeatureSchema(SCHEMA.base[:-1]),
        FeatureSchema(SCHEMA.base[::-1]),
        evolve(SCHEMA, indices=(IndexField("type", 1, 2),)),
    ],
)
def test_the_suite_network_refuses_other_features(schema: FeatureSchema) -> None:
    with pytest.raises(IncompatiblePlan, match="706 columns of the features 'suite'"):
        CombatSuiteActorCritic(CombatSuiteConfig(), evolve(CONTEXT, feature_schema=schema))


# Time ---------------------------------------------------------------------------------------------------------------


def test_a_sequence_equals_its_steps(policy: Policy) -> None:
    obs, start = suites().flat(), torch.zeros(ENVS, STEPS, dtype=torch.bool)
    start[0, 3] = start[1, 5] = start[2, 0] = True
    dirty = LSTMState(*(torch.ones(1, ENVS, 128, dtype=torch.float64) for _ in range(2)))
    whole = policy.network(Features(obs, {}), dirty, start)
    state = dirty
    for t in range(STEPS):
        output = policy.network(Features(obs[:, t : t + 1], {}), state, start[:, t : t + 1])
        state = output.state
        torch.testing.assert_close(output.latent[:, 0], whole.latent[:, t])
        torch.testing.assert_close(output.logits["act"][:, 0], whole.logits["act"][:, t])
    torch.testing.assert_close(tuple(state), tuple(whole.state))


def test_learning_reaches_back_through_time_and_never_across_the_start_of_an_episode(policy: Policy) -> None:
    obs, start = suites().flat().requires_grad_(), torch.zeros(ENVS, STEPS, dtype=torch.bool)
    start[1, 4] = True
    evaluate(policy, obs, start).values.value[:, -1].sum().backward()
    assert obs.grad is not None
    by_step = obs.grad.abs().amax(-1) > 0
    assert by_step[0].all() and by_step[2].all()
    assert by_step[1].tolist() == [False] * 4 + [True] * 3


# Gradients ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("of", ["actor", "critic"])
def test_a_loss_reaches_every_parameter_that_it_should(policy: Policy, of: str) -> None:
    evaluation = evaluate(policy, suites().flat())
    loss = -evaluation.log_prob["act"].mean() if of == "actor" else (evaluation.values.q_taken - 1).square().mean()
    loss.backward()
    of_actor = {"actor_mean.weight", "actor_mean.bias", "actor_logstd"}
    network, critic = reached(policy.network), reached(policy.critic)
    assert {name for name, there in network.items() if not there} == (set() if of == "actor" else of_actor)
    assert set(critic.values()) == {of == "critic"}


def test_entropy_of_stored_actions_keeps_deviations_within_bounds(policy: Policy) -> None:
    """A bonus widens narrow distributions and narrows wide ones, since what is squashed gets crowded at the bounds."""
    log_std, obs = policy.network.actor_logstd, suites().flat()
    for value, sign in ((-3.0, 1), (1.5, -1)):
        nn.init.constant_(log_std, value)
        (gradient,) = torch.autograd.grad(evaluate(policy, obs).entropy["act"].mean(), log_std)
        assert (gradient.sign() == sign).all()
    ascent = torch.optim.Adam([log_std], 0.3, maximize=True)
    for _ in range(60):
        ascent.zero_grad()
        evaluate(policy, obs[:1, :1]).entropy["act"].mean().backward()
        ascent.step()
    assert (
        SMALLEST_LOG_STD < -1 < float(log_std.detach().min()) <= float(log_std.detach().max()) < 0.5 < LARGEST_LOG_STD
    )


@contextmanager
def watched(module: nn.Module, kind: type[nn.Module]) -> Iterator[list[Tensor]]:
    """Collect the outputs of all layers of a kind, rows of `[rows, width]`."""
    seen: list[Tensor] = []
    layers = [layer for layer in module.modules() if isinstance(layer, kind)]
    hooks = [
        layer.register_forward_hook(lambda m, i, output: seen.append(output.detach().flatten(0, -2)))
        for layer in layers
    ]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
    assert len(seen) == len(layers) > 0


def test_no_layer_is_saturated_or_dead_at_first() -> None:
    obs = suites(16, 8).flat()
    flat, suite = make("actor-critic-lstm"), make("combat-suite")
    with watched(flat.network.encoder, nn.Tanh) as seen:
        evaluate(flat, obs)
    assert all(float((output.abs() > 0.99).double().mean()) < 0.05 for output in seen)
    with watched(suite.network.encoder, nn.ReLU) as seen:
        evaluate(suite, obs)
    for output in seen:
        firing = float((output > 0).any(0).double().mean())
        assert firing > 0.5, f"{1 - firing:.0%} of the units never fire, so they learn nothing"


def test_every_number_that_is_no_padding_is_seen(policy: Policy) -> None:
    suite = suites(padded=0.0)
    obs = suite.flat().requires_grad_()
    evaluate(policy, obs).log_prob["act"].sum().backward()
    assert obs.grad is not None
    unseen = (obs.grad == 0).all(1).all(0).nonzero().flatten().tolist()
    masks = [*range(CONTACT_MASK_AT.start, CONTACT_MASK_AT.stop), *range(SQUAD_MASK_AT.start, SQUAD_MASK_AT.stop)]
    assert unseen == (masks if isinstance(policy.network, CombatSuiteActorCritic) else [])


# Sets ---------------------------------------------------------------------------------------------------------------


def seen_by(policy: Policy, suite: SuiteObservation) -> Tensor:
    evaluation = evaluate(policy, suite.flat())
    return torch.cat([evaluation.logits["act"], evaluation.values.value.unsqueeze(-1)], dim=-1)


def test_padding_changes_nothing_whatever_it_holds_and_gets_exactly_no_gradient() -> None:
    policy, suite = make("combat-suite"), suites()
    expected = seen_by(policy, suite)
    absent = {"contacts": suite.contact_mask > 0.5, "squad": suite.squad_mask > 0.5}
    for filling in (torch.nan, torch.inf, 7.0):
        filled = {n: getattr(suite, n).masked_fill(mask.unsqueeze(-1), filling) for n, mask in absent.items()}
        obs = suite._replace(**filled).flat().requires_grad_()
        evaluation = evaluate(policy, obs)
        assert torch.equal(evaluation.logits["act"], expected[..., :-1])
        policy.zero_grad()
        (evaluation.values.value.sum() + evaluation.log_prob["act"].sum()).backward()
        assert obs.grad is not None and obs.grad.isfinite().all()
        for at, mask, width in ((CONTACTS_AT, absent["contacts"], 25), (SQUAD_AT, absent["squad"], 10)):
            moved = obs.grad[..., at].unflatten(-1, (-1, width)).ne(0).any(-1)
            assert not moved[mask].any() and moved[~mask].any()
        assert all(reached(policy.network).values())


def test_a_mech_alone_is_seen_too() -> None:
    policy, suite = make("combat-suite"), suites()
    alone = suite._replace(
        contact_mask=torch.ones_like(suite.contact_mask), squad_mask=torch.ones_like(suite.squad_mask)
    )
    nothing = alone._replace(contacts=alone.contacts * torch.nan, squad=alone.squad * torch.nan)
    found = seen_by(policy, nothing)
    assert found.isfinite().all() and torch.equal(found, seen_by(policy, alone))
    found.sum().backward()
    contacts, squad = (reached(getattr(policy.network.encoder, f"{name}_encoder")) for name in ("contact", "squad"))
    learning = {"rho.0.bias", "rho.2.weight", "rho.2.bias"}
    assert contacts == squad == {name: name in learning for name in contacts} and learning < set(contacts)


def test_the_order_of_contacts_means_nothing_and_who_they_are_something() -> None:
    policy, suite = make("combat-suite"), suites()
    expected, order = seen_by(policy, suite), torch.randperm(20, generator=torch.Generator().manual_seed(3))
    shuffled = suite._replace(contacts=suite.contacts[..., order, :], contact_mask=suite.contact_mask[..., order])
    torch.testing.assert_close(seen_by(policy, shuffled), expected)
    others = suite._replace(contacts=suite.contacts[..., order, :])
    assert not torch.allclose(seen_by(policy, others), expected)


@pytest.mark.parametrize("aggregation", POOLS)
def test_pools(aggregation: str) -> None:
    """By hand: with an identity for phi and rho, rows of which the last is padding."""
    encoder = DeepSetEncoder(2, 2, 2, aggregation)
    encoder.phi, encoder.rho = nn.Sequential(), nn.Sequential()
    rows = torch.tensor([[[1.0, 4.0], [3.0, 2.0], [9.0, 9.0]]])
    padding = torch.tensor([[False, False, True]])
    expected = {"mean": [2.0, 3.0], "sum": [4.0, 6.0], "max": [3.0, 4.0]}[aggregation]
    assert encoder(rows, padding).tolist() == [expected]
    assert encoder(rows * torch.nan, torch.ones_like(padding)).tolist() == [[0.0, 0.0]]


# Compiling ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs g++")
def test_a_step_compiles_without_a_break(policy: Policy) -> None:
    network, obs = policy.network, suites(steps=1).flat()
    start = torch.tensor([[True], [False], [False]])
    state = LSTMState(*(torch.ones(1, ENVS, 128, dtype=torch.float64) for _ in range(2)))
    allowed = torch._dynamo.config.patch(allow_rnn=True, capture_dynamic_output_shape_ops=True)
    with allowed, torch.no_grad():
        compiled = torch.compile(network, fullgraph=True)(Features(obs, {}), state, start)
    expected = network(Features(obs, {}), state, start)
    torch.testing.assert_close(compiled, expected)
