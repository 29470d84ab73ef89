"""A rule that teaches: what it says reaches the weights, less and less, and then not at all."""

import math
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch

from esper_core import ActionSpec, ContinuousHead, Head
from esper_core.contracts.errors import PluginError
from esper_core.contracts.foreign import Owner
from esper_core.contracts.protocols import Masks
from esper_core.learning.teacher import Teacher
from esper_core.policy.distribution import FactoredDistribution
from esper_core.policy.executed import FARTHEST, executed, intended
from tests.learning.conftest import SPEC, Legal, Reinforce, ResumableWorld, Seen, make, train

OWNER = Owner("rule 'grows'")


class Grows:
    """Grows `x` in slot a at every step, whatever it sees, but for a choice that it draws."""

    def __init__(self, op=1, slot=0):
        self.op, self.slot, self.asked, self.begun = op, slot, 0, 0

    def reset(self, num_envs):
        self.begun += 1

    def __call__(self, state, masks, generator):
        self.asked += 1
        envs = len(state["clock"])
        what = torch.randint(2, (envs,), generator=generator)
        return {"op": torch.full((envs,), self.op), "slot": torch.full((envs,), self.slot), "what": what}


class NoSignal(Reinforce):
    """Learns values, and nothing of what to do."""

    def __call__(self, batch, evaluation):
        result = super().__call__(batch, evaluation)
        error = torch.where(batch.valid, (evaluation.values.q_taken - batch.returns).square(), 0.0).sum()
        return type(result)(error / batch.valid.sum(), result.kl, {})


def teaching(rule, weight=1.0, updates=10, seed=0):
    return Teacher(rule, OWNER, SPEC, weight, updates, seed)


def chosen(trainer):
    """Return the probabilities of the operations in the first state."""
    state, _ = trainer.environment.reset(seed=5)
    acted = trainer.policy.get_action(Seen()(state), Legal()(state), trainer.policy.initial_state(4))
    return acted.distribution.op_probs()


def test_the_policy_comes_to_do_what_it_is_taught_and_nothing_else_teaches_it():
    taught = make(loss=NoSignal(), teacher=teaching(Grows(), updates=40), update_epochs=4)
    plain = make(loss=NoSignal(), update_epochs=4)
    train(taught, 30)
    train(plain, 30)
    assert (chosen(taught)[:, 1] > 0.9).all()
    assert (chosen(plain)[:, 1] < 0.7).all()


def test_it_is_asked_ever_less_and_then_not_at_all():
    rule = Grows()
    trainer = make(loss=NoSignal(), teacher=teaching(rule, weight=2.0, updates=2), lr=0.0, update_epochs=1)
    first, second, third, _ = (metrics for _, _, metrics, _ in train(trainer, 4))
    assert second["teacher_loss"] == pytest.approx(first["teacher_loss"] / 2, rel=0.1)
    assert "teacher_loss" not in third and rule.asked == 2 * 6 and rule.begun == 2


def test_its_loss_and_gradients_are_those_worked_out_by_hand():
    """A category of probability 1/4; a number 0.6 from its mean, of deviation 1/2: ¼ · (½ · 0.36 / ¼ + ln ½)."""
    number = ContinuousHead("n", ("n",), low=(-2.0,), high=(4.0,))
    spec = ActionSpec((Head("op", ("a", "b", "c", "d")), number), root="op")
    outputs = torch.tensor([[[0.5, math.log(0.5)], [30.0, 0.0]]], requires_grad=True)
    logits = {"op": torch.zeros(1, 2, 4), "n": outputs}
    masks = Masks({"op": torch.ones(1, 2, 4, dtype=torch.bool)}, None)
    evaluation = SimpleNamespace(distribution=FactoredDistribution(spec, logits, masks))
    wanted = {"op": torch.zeros(1, 2, dtype=torch.int64), "n": torch.tensor([[[1.1], [0.0]]])}
    batch = SimpleNamespace(advice=executed(spec, wanted), padded=True, valid=torch.tensor([[True, False]]))
    teacher = Teacher(Grows(), OWNER, spec, 3.0, 10, 0)
    teacher.begin(1, 1)
    loss = teacher.loss(batch, evaluation)
    assert loss.item() == pytest.approx(3 * (math.log(4) + 0.25 * (0.72 - math.log(2))), abs=1e-5)
    (gradient,) = torch.autograd.grad(loss, outputs)
    assert gradient[0].tolist() == [pytest.approx([3 * -0.6, 3 * (0.25 - 0.36)], abs=1e-5), [0, 0]]


def test_what_is_intended_is_what_is_executed_up_to_where_tanh_is_flat():
    heads = (
        ContinuousHead("s", ("n",), low=(-2.0,), high=(4.0,)),
        ContinuousHead("c", ("n",), low=(-2.0,), high=(4.0,), squash=False),
    )
    spec = ActionSpec(heads)
    wanted = torch.tensor([[-2.0], [-1.5], [1.0], [3.0], [4.0]])
    back = executed(spec, intended(spec, {"s": wanted, "c": wanted}))
    assert torch.equal(back["c"], wanted)
    assert torch.allclose(back["s"], wanted.clamp(1 - 3 * FARTHEST, 1 + 3 * FARTHEST), atol=1e-5)


def test_what_is_illegal_is_told_with_owner_and_step():
    trainer = make(teacher=teaching(Grows(slot=1)))
    with pytest.raises(
        PluginError, match=r"rule 'grows'.*environment 0 at step 0, 1 of head 'slot', is illegal"
    ) as raised:
        train(trainer, 1)
    assert "--use rule=" in raised.value.hint


def test_going_on_in_the_middle_of_lessons_is_exact():
    whole = make(ResumableWorld(), teacher=teaching(Grows()))
    expected = train(whole, 5)
    half = make(ResumableWorld(), teacher=teaching(Grows()))
    train(half, 2)
    other = make(ResumableWorld(), teacher=teaching(Grows()))
    other.load_state(half.state())
    assert train(other, 5) == expected[2:]


def test_alone_first_then_the_critic_then_both_and_at_last_exactly_nothing_of_it():
    rule = Grows()
    teacher = Teacher(rule, OWNER, SPEC, 2.0, 2, 0, alone=2, pause=1)
    trainer = make(teacher=teacher, teacher_alone=2, critic_alone=1, update_epochs=2)
    weights, networks, critics = [], [], []
    for update in trainer.run(7):
        weights.append(update.metrics["teacher_weight"])
        for kept, part in ((networks, trainer.policy.network), (critics, trainer.policy.critic)):
            kept.append([value.clone() for value in part.state_dict().values()])
        assert ("teacher_loss" in update.metrics) == (weights[-1] > 0)
    assert weights == [2, 2, 0, 2, 1, 0, 0] and rule.begun == 4
    moved = [not all(map(torch.equal, a, b)) for a, b in pairwise(networks)]
    assert moved == [True, False, True, True, True, True], "only the network stands still, and once"
    assert all(not all(map(torch.equal, a, b)) for a, b in pairwise(critics))


def test_before_the_first_reward_is_learned_from_the_policy_does_what_it_was_taught():
    """Rewards speak against it: another operation is paid. No KL stops it either."""
    teacher = Teacher(Grows(), OWNER, SPEC, 1.0, 40, 0, alone=30)
    trainer = make(teacher=teacher, teacher_alone=30, update_epochs=4)
    found = train(trainer, 30)
    assert (chosen(trainer)[:, 1] > 0.9).all()
    first, last = (found[i][2] for i in (0, -1))
    assert last["teacher_probability"] > 0.4 > first["teacher_probability"] and last["update_epochs_done"] == 4


@pytest.mark.parametrize("softer", [{"softness": 0.3}, {"entropy": 0.6}])
def test_softened_labels_and_a_floor_of_the_entropy_leave_something_to_explore(softer):
    hard = make(loss=NoSignal(), teacher=teaching(Grows(), updates=100), update_epochs=4)
    soft = make(loss=NoSignal(), teacher=Teacher(Grows(), OWNER, SPEC, 1.0, 100, 0, **softer), update_epochs=4)
    entropies = [train(trainer, 40)[-1][2]["entropy/op"] for trainer in (hard, soft)]
    assert entropies[0] < 0.3 and entropies[1] > 0.45
    assert (chosen(soft).argmax(1) == 1).all()


def test_the_softened_loss_is_the_cross_entropy_with_softened_labels():
    """Of four operations, b and c legal: b is 0.8 + 0.1, c 0.1."""
    spec = ActionSpec((Head("op", ("a", "b", "c", "d")),), root="op")
    logits = torch.tensor([[[9.0, 0.2, -0.4, 3.0]]])
    masks = Masks({"op": torch.tensor([[[False, True, True, False]]])}, None)
    evaluation = SimpleNamespace(distribution=FactoredDistribution(spec, {"op": logits}, masks))
    batch = SimpleNamespace(advice={"op": torch.tensor([[1]])}, padded=False, valid=torch.ones(1, 1).bool())
    teacher = Teacher(Grows(), OWNER, spec, 1.0, 10, 0, softness=0.2)
    teacher.begin(1, 1)
    expected = -torch.tensor([0.9, 0.1]) @ logits[0, 0, 1:3].log_softmax(0)
    assert teacher.loss(batch, evaluation).item() == pytest.approx(expected.item(), abs=1e-6)
