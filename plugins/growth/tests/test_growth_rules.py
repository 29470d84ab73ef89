import pytest
import torch

from esper_evaluation.rules import Random, Static
from esper_growth.actions import Op
from esper_growth.rules import AllOn, AllOnHeavy, Periodic, Plateau


def ops_of(actions):
    return torch.stack([step["op"] for step in actions])


def test_random_plays_every_operation(make_environment, play):
    ops = ops_of(play(make_environment(epochs=30, samples=20, batch_size=20, envs=4), Random)[1])
    assert set(ops.unique().tolist()) == {Op.WAIT, Op.GERMINATE, Op.SET_ALPHA_TARGET, Op.PRUNE, Op.FOSSILIZE}


def test_plateau_grows_when_accuracy_stalls_and_keeps_what_contributes(make_environment, play):
    _, actions, _, events = play(make_environment(epochs=30, samples=300), Plateau)
    ops = ops_of(actions)
    assert bool((ops[: Plateau.FIRST_EPOCH] == Op.WAIT).all()), "it waits before its first germination"
    assert bool((ops == Op.GERMINATE).any(0).all()) and bool((ops == Op.FOSSILIZE).any(0).all())
    assert all(e["fossils"] > 0 and e["gain"] > 0 for e in events if e["type"] == "episode")


@pytest.mark.parametrize(
    ("rule", "labels", "steps"),
    [
        (Static, set(), []),
        (AllOn, {"conv_light"}, [0, 1, 2]),
        (AllOnHeavy, {"conv_heavy"}, [0, 1, 2]),
        (Periodic, {"conv_light"}, [0, 6, 12]),
    ],
)
def test_a_schedule_grows_by_the_clock(make_environment, play, rule, labels, steps):
    *_, events = play(make_environment(epochs=14, samples=50, envs=1), rule)
    grown = [event for event in events if event["type"] == "germinate"]
    assert [event["step"] for event in grown] == steps and {event["blueprint"] for event in grown} == labels
    assert grown or len(events) == 1, "nothing happens but the end of the episode"
