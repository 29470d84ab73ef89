import subprocess
import sys

import numpy as np
import pytest
from pettingzoo.test import parallel_api_test, parallel_seed_test

from esper_core.contracts.errors import ConfigError
from esper_echelon.parallel import EchelonParallelEnv, parallel_env
from esper_echelon.perception.layout import EGO_AT


@pytest.mark.filterwarnings("error")
def test_it_passes_the_tests_of_pettingzoo():
    parallel_api_test(parallel_env(map_size_range=(24, 24)), num_cycles=300)
    parallel_seed_test(lambda: parallel_env(map_size_range=(24, 30)), num_cycles=60)


def calm(env):
    return {agent: np.zeros(9, np.float32) for agent in env.agents}


def test_the_dead_leave_and_the_others_fight_on():
    env = EchelonParallelEnv()
    env.reset(seed=3)
    env._arena.mechs.hp[0, 7], env._arena.mechs.alive[0, 7] = 0, False
    seen, _, terminated, truncated, _ = env.step(calm(env))
    assert [agent for agent, ended in terminated.items() if ended] == ["red_1"] and not any(truncated.values())
    assert not seen["red_1"][EGO_AT].any() and "red_1" not in env.agents and len(env.agents) == 11
    assert "red_1" not in env.step(calm(env))[0]


def test_time_truncates_and_says_who_won():
    env = EchelonParallelEnv(render_mode="rgb_array")
    _, infos = env.reset(seed=3)
    assert infos["blue_4"] == {"role": "heavy", "map_size": 40, "packs": 1}
    env._arena.clock[:] = 239
    _, rewards, terminated, truncated, infos = env.step(calm(env))
    assert all(truncated.values()) and not any(terminated.values()) and not env.agents
    assert infos["red_0"]["ending"] == "time" and infos["red_0"]["winner"] == ""
    assert sum(infos["blue_0"]["reward_components"].values()) == pytest.approx(rewards["blue_0"])
    assert env.render().shape == (616, 560, 3)


def test_options_draw_map_and_packs_and_actions_reach_the_arena():
    env = EchelonParallelEnv(packs=2, packs_per_team_range=(1, 2))
    drawn = set()
    for seed in range(8):
        _, infos = env.reset(seed=seed, options={"map_size_range": (60, 80), "unknown": 1})
        drawn.add((infos["blue_0"]["packs"], len(env.agents)))
        assert 60 <= infos["blue_0"]["map_size"] <= 80
    assert drawn == {(1, 12), (2, 26)}
    before = env._arena.mechs.position[0].copy()
    env.step({**calm(env), "red_3": np.eye(9)[0]})
    moved = np.abs(env._arena.mechs.position[0] - before).max(1) > 0.1
    assert np.flatnonzero(moved).tolist() == [13 + 3]


def test_bad_input_is_named():
    with pytest.raises(ConfigError, match=r"no weight 'wins'. Did you mean 'win'"):
        parallel_env(rewards={"wins": 1.0})
    for how, words in (
        ({"render_mode": "human"}, "render_mode is 'human'"),
        ({"visibility": "none"}, "visibility is 'none'"),
        ({"packs_per_team_range": (1, 2)}, "agents for 1 a team"),
        ({"map_size_range": (1, 1)}, "map_size_range"),
    ):
        with pytest.raises(ValueError, match=words):
            EchelonParallelEnv(**how)
    env = EchelonParallelEnv()
    with pytest.raises(ValueError, match="call reset first"):
        env.step({})
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"blue_0 has the shape \(8,\), not \(9,\)"):
        env.step({"blue_0": np.zeros(8)})
    with pytest.raises(ValueError, match="there is no agent green_0"):
        env.step({"green_0": np.zeros(9)})


def test_numbers_that_are_not_finite_are_nought_and_said_once(caplog):
    env, calm_too = EchelonParallelEnv(), EchelonParallelEnv()
    env.reset(seed=0), calm_too.reset(seed=0)
    rewards = env.step({"blue_2": np.full(9, np.nan)})[1]
    env.step({"blue_2": np.full(9, np.inf)})
    assert rewards == calm_too.step({})[1]
    assert caplog.messages == ["An action of echelon is not finite: 'forward' of blue_2. Such numbers become 0."]


def test_without_pettingzoo_it_says_what_to_install():
    code = "import sys; sys.modules['pettingzoo'] = None; import esper_echelon.parallel"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "needs the package 'pettingzoo', which is not installed" in done.stderr
