import pytest
import torch

from esper_growth.actions import Op
from esper_growth.rules import AllOn, AllOnHeavy, Periodic, Plateau, Static, UniformLegal


def ops_of(actions):
    return torch.stack([step["op"] for step in actions])


def test_static_always_waits(make_environment, play):
    _, actions, *_ = play(make_environment(epochs=3), Static)
    assert bool((ops_of(actions) == Op.WAIT).all())


def test_random_plays_every_operation(make_environment, play):
    ops = ops_of(play(make_environment(epochs=30, samples=20, batch_size=20, envs=4), UniformLegal)[1])
    assert set(ops.unique().tolist()) == {Op.WAIT, Op.GERMINATE, Op.SET_ALPHA_TARGET, Op.PRUNE, Op.FOSSILIZE}


def test_plateau_grows_when_accuracy_stalls_and_keeps_what_contributes(make_environment, play):
    _, actions, _, events = play(make_environment(epochs=30, samples=300), Plateau)
    ops = ops_of(actions)
    assert bool((ops[: Plateau.FIRST_EPOCH] == Op.WAIT).all()), "it waits before its first germination"
    assert bool((ops == Op.GERMINATE).any(0).all()) and bool((ops == Op.FOSSILIZE).any(0).all())
    assert all(e["fossils"] > 0 and e["gain"] > 0 for e in events if e["type"] == "episode")


@pytest.mark.parametrize(("rule", "label"), [(AllOn, "conv_light"), (AllOnHeavy, "conv_heavy")])
def test_all_on_grows_everywhere_at_once(make_environment, play, rule, label):
    _, actions, _, events = play(make_environment(epochs=5, samples=50), rule)
    assert ops_of(actions)[:, 0].tolist() == [Op.GERMINATE] * 3 + [Op.WAIT] * 2
    assert [event["blueprint"] for event in events if event["type"] == "germinate"] == [label] * 6


def test_periodic_grows_one_slot_after_the_other(make_environment, play):
    *_, events = play(make_environment(epochs=14, samples=50, envs=1), Periodic)
    assert [event["step"] for event in events if event["type"] == "germinate"] == [0, 6, 12]
