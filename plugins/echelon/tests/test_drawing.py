import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from esper_core.contracts.errors import MissingPackage
from esper_echelon.drawing import HEAD, SIDE, TEAMS, picture, require_pillow
from esper_echelon.simulation.arena import Arena
from esper_echelon.simulation.roster import Roster


@pytest.fixture
def arena():
    made = Arena(Roster(1), 2)
    for match in range(2):
        made.begin(match, 5, 40, 1, 0)
    return made


def colour_at(image, x, y):
    """The colour at a position in metres from the centre."""
    scale = SIDE / 40
    return tuple(image[int(HEAD + (20 - y) * scale), int((x + 20) * scale)].tolist())


def test_mechs_stand_where_they_are_in_their_colours(arena):
    x, y = arena.mechs.position[0, 4] + (0.5, 0.5)
    seen = colour_at(picture(arena, 0), x, y)
    assert max(np.abs(np.subtract(seen, TEAMS[0]))) < 30
    assert max(np.abs(np.subtract(colour_at(picture(arena, 0), -x + 1, -y + 1), TEAMS[1]))) < 30, "the map is symmetric"


@pytest.mark.parametrize("change", ["alive", "hp", "heat", "paint", "fallen", "score", "smoke", "hit", "flight"])
def test_everything_that_changes_is_seen(arena, change):
    mechs, happened = arena.mechs, None
    before = picture(arena, 0)
    if change == "smoke":
        arena.clouds.add(np.zeros(1, np.int64), np.zeros((1, 2)))
    elif change == "hit":
        one = {name: np.array([value]) for name, value in {"match": 0, "source": 0, "target": 6}.items()}
        happened = SimpleNamespace(damage=SimpleNamespace(**one, amount=np.ones(1), x=np.zeros(1), y=np.zeros(1)))
    elif change == "flight":
        one = np.zeros(1, np.int64)
        arena.flights.add(one, one, one + 6, one, np.zeros((1, 3)), np.ones((1, 3)), np.ones(1))
    elif change == "score":
        arena.score[0] = 3, 20
    else:
        getattr(mechs, change)[0, 4] = {"alive": False, "hp": 10, "heat": 129}.get(change, 1)
    after = picture(arena, 0, happened)
    assert after.shape == before.shape == (SIDE + HEAD, SIDE, 3) and (after != before).any()
    assert (picture(arena, 1) == picture(arena, 1)).all()


def test_without_pillow_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingPackage, match="need Pillow, which is not installed") as caught:
        require_pillow()
    assert "esper-echelon[pictures]" in caught.value.hint


@pytest.mark.parametrize("options", [(), ("workers=2",)])
def test_a_frame_shows_the_first_match(build, options):
    environment = build(*options)
    environment.reset(seed=1)
    assert environment.show() == 4.0
    before = environment.frame()
    state = environment.state()
    environment.step({"act": torch.ones(environment.num_envs, 9)})
    after = environment.frame()
    assert before.shape == after.shape == (SIDE + HEAD, SIDE, 3) and (before != after).any()
    environment.load_state(state)
    assert (environment.frame() == before).all()
