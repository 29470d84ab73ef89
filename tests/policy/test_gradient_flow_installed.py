"""What each term of the real loss reaches in the installed networks and critics, and how far back in time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from esper_core.contracts.protocols import BuildContext, Features
from esper_core.learning.rollout import Sequences
from esper_core.plan.build import build_parts
from esper_core.plan.plan import PlanRequest, describe_plan, make_plan
from esper_core.plan.recipes import Recipes
from esper_core.policy.distribution import FactoredDistribution
from esper_core.policy.policy import Evaluation, Policy
from esper_core.registry.index import Index
from esper_core.registry.loading import load_index
from esper_factored_ppo.config import FactoredPpoConfig
from esper_factored_ppo.loss import FactoredPpo
from esper_testing.states import random_masks

E, T = 8, 7

NETWORKS, CRITICS = ("lstm-v2", "lstm-v1"), ("op-conditioned-critic", "state-value")
TERMS = {
    "policy": {"value_coefficient": 0.0, "entropy": 0.0},
    "value": {"value_coefficient": 1.0, "entropy": 0.0},
    "entropy": {"value_coefficient": 0.0, "entropy": 1.0},
}


@pytest.fixture(scope="module")
def index() -> Index:
    return load_index()


class Case:
    """A policy of installed components, moved off its initialisation, and a batch in which every operation occurs."""

    def __init__(self, index: Index, network: str, critic: str) -> None:
        options = ["network.hidden_dim=16"]
        request = PlanRequest(policy=network, slots="3", uses={"critic": critic}, options=options, envs=E, device="cpu")
        plan = make_plan(request, index, Recipes())
        described, self.generator = describe_plan(plan, index), torch.Generator().manual_seed(0)
        torch.manual_seed(0)
        parts = build_parts(plan, index, only=["network", "critic"])
        self.actions, schema = described.actions, described.feature_schema
        self.policy = Policy(parts["network"], parts["critic"], self.actions).double()
        with torch.no_grad():
            for parameter in self.policy.parameters():
                parameter += 0.1 * self.randn(*parameter.shape)
        indices = {
            block.name: torch.randint(-1, block.vocabulary, (E, T, block.width), generator=self.generator)
            for block in schema.indices
        }
        self.features = Features(self.randn(E, T, schema.dim).requires_grad_(), indices)
        self.masks = random_masks(self.actions, (E, T), self.generator, legal=0.9)
        uniform = {head.name: torch.zeros(E, T, head.size) for head in self.actions.heads}
        self.taken = FactoredDistribution(self.actions, uniform, self.masks).sample(self.generator)
        assert len(set(self.taken["op"].flatten().tolist())) == len(self.actions.ops)
        self.context = BuildContext(
            slots=described.slots,
            actions=self.actions,
            state_spec=described.state_spec,
            feature_schema=schema,
            latent_dim=16,
            gamma=0.99,
            num_envs=E,
            seed=0,
            device="cpu",
            dtype=torch.float64,
        )

    def randn(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator, dtype=torch.float64)

    def evaluate(self, episode_start: Tensor | None = None) -> Evaluation:
        return self.policy.evaluate_actions(self.features, self.masks, None, self.taken, episode_start)

    def term(self, name: str) -> Tensor:
        """Return one term of the loss, the others switched off."""
        evaluation = self.evaluate()
        advantages = self.randn(E, T) if name == "policy" else torch.zeros(E, T, dtype=torch.float64)
        batch = Sequences(
            features=self.features,
            masks=self.masks,
            actions=self.taken,
            episode_start=torch.zeros(E, T, dtype=torch.bool),
            valid=torch.ones(E, T, dtype=torch.bool),
            old_log_prob={key: value.detach() for key, value in evaluation.log_prob.items()},
            old_logits={key: value.detach() for key, value in evaluation.logits.items()},
            advantages=advantages,
            op_advantage=torch.zeros_like(advantages),
            returns=self.randn(E, T),
        )
        return FactoredPpo(FactoredPpoConfig(**TERMS[name]), self.context)(batch, evaluation).loss

    def reached(self, term: Tensor) -> set[str]:
        """Return the parameters with a gradient that is not 0."""
        named = dict(self.policy.named_parameters())
        gradients = torch.autograd.grad(term, list(named.values()), allow_unused=True)
        return {n for n, g in zip(named, gradients, strict=True) if g is not None and bool((g != 0).any())}

    def parameters(self, part: str) -> set[str]:
        """Return the names of a part's parameters: critic, heads, or the trunk that everything passes through."""
        names = {name for name, _ in self.policy.named_parameters()}
        heads = {name for name in names if name.split(".")[1].endswith("_head")}
        critic = {name for name in names if name.startswith("critic.")}
        return {"heads": heads, "critic": critic, "trunk": names - heads - critic}[part]


@pytest.fixture(scope="module", params=[(n, c) for n in NETWORKS for c in CRITICS], ids=" ".join)
def case(request: pytest.FixtureRequest, index: Index) -> Case:
    return Case(index, *request.param)


@pytest.mark.parametrize(
    ("term", "parts"), [("policy", ("trunk", "heads")), ("value", ("trunk", "critic")), ("entropy", ("trunk", "heads"))]
)
def test_every_term_reaches_every_parameter_it_should_and_no_other(
    case: Case, term: str, parts: tuple[str, ...]
) -> None:
    expected = set().union(*(case.parameters(part) for part in parts))
    assert len(case.parameters("heads")) >= 2 * len(case.actions.heads) and len(case.parameters("trunk")) >= 9
    assert case.reached(case.term(term)) == expected


def outputs(evaluation: Evaluation, t: int) -> dict[str, Tensor]:
    """Return a number per kind of output that depends on step t and on what the recurrent state brought to it."""
    return {
        "policy": torch.stack([value[:, t].sum() for value in evaluation.log_prob.values()]).sum(),
        "value": evaluation.values.value[:, t].sum(),
        "entropy": torch.stack([value[:, t].sum() for value in evaluation.entropy.values()]).sum(),
    }


@pytest.mark.parametrize("output", TERMS)
def test_the_last_step_sends_a_gradient_back_to_the_first(case: Case, output: str) -> None:
    (gradient,) = torch.autograd.grad(outputs(case.evaluate(), T - 1)[output], case.features.obs)
    assert bool((gradient != 0).any(-1).all()), "every step of every environment, the first included"


@pytest.mark.parametrize("output", TERMS)
@pytest.mark.parametrize("start", [1, 4, T - 1])
def test_no_gradient_crosses_a_reset(case: Case, output: str, start: int) -> None:
    starts = torch.zeros(E, T, dtype=torch.bool)
    starts[::2, start] = True  # every other environment begins anew
    (gradient,) = torch.autograd.grad(outputs(case.evaluate(starts), T - 1)[output], case.features.obs)
    reached = (gradient != 0).any(-1)
    assert not bool(reached[::2, :start].any()) and bool(reached[::2, start:].all())
    assert bool(reached[1::2].all()), "an environment that goes on is not cut"


@pytest.mark.parametrize("output", TERMS)
def test_no_gradient_comes_from_the_future(case: Case, output: str) -> None:
    (gradient,) = torch.autograd.grad(outputs(case.evaluate(), 2)[output], case.features.obs)
    assert not bool((gradient[:, 3:] != 0).any()) and bool((gradient[:, 2] != 0).any())
