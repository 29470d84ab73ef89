"""Listing commands: what they say, for people and machines, with torch out of reach."""

import json
import os
import subprocess
import sys

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec

from tests.command import environment

LISTINGS = (
    *(("--help",), ("-h",), ("--version",), ("-v",), ("train", "--help"), ("bench", "--help"), ("report", "--help")),
    *(
        ("export", "--help"),
        ("evaluate", "--help"),
        ("variance", "--help"),
        ("matrix", "--help"),
        ("plugins", "list"),
        ("plugins", "list", "--json"),
    ),
    *(("plugins", "list", "--kind", "workload"), ("plugins", "show", "growth"), ("plugins", "why", "network/lstm-v2")),
    *(("plugins", "why", "network/lstm-v2", "--json"), ("plugins", "doctor"), ("plugins", "doctor", "--json")),
    *(("policy", "list"), ("registry", "check"), ("runs", "list"), ("spike", "list"), ("cache", "show")),
    *(("evaluate", "--help"), ("variance", "--help"), ("train", "--policy", "lstm-v2", "--slots", "5", "--dry-run")),
    ("train", "--policy", "lstm-v2", "--slots", "5", "--dry-run", "--json"),
)
EACH = """
import contextlib, io, json, sys
from esper_core.cli.app import run
for words in json.load(sys.stdin):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        status = run(words)
    assert status == 0 and out.getvalue() and not err.getvalue(), (words, status, err.getvalue())
"""


def test_listings_work_with_torch_out_of_reach(without_torch, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", EACH],
        input=json.dumps(LISTINGS),
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=environment(tmp_path, PYTHONPATH=os.pathsep.join([str(without_torch), *sys.path])),
    )
    assert done.returncode == 0, done.stderr


def test_policy_show_counts(esper):
    shown = json.loads(esper("policy", "show", "lstm-v2", "--slots", "5", "--json").stdout)
    assert shown["parameters"] == 3_596_900
    assert (shown["observation_dim"], shown["network_input_dim"]) == (181, 201)
    assert shown["heads"]["slot"]["outputs"] == 5 and len(shown["heads"]) == 8
    other = esper("policy", "show", "lstm-slots", "--slots", "2").stdout
    assert "slot: 2 choices, r0c0, r0c1, logits for each operation (matters to GERMINATE" in other


def test_policy_show_names_numbers_and_their_bounds(esper):
    pendulum = ("--use", "environment=gymnasium", "-o", "environment.id=Pendulum-v1")
    assert "1 number, 0 -2..2, squashed" in esper("policy", "show", "lstm-v1", *pendulum).stdout


def test_policy_show_says_what_is_seen(esper, monkeypatch):
    monkeypatch.setattr(gymnasium.Env, "observation_space", spaces.Box(0, 255, (12, 10, 3), np.uint8), raising=False)
    monkeypatch.setattr(gymnasium.Env, "action_space", spaces.Discrete(2), raising=False)
    monkeypatch.setitem(gymnasium.registry, "Camera-v0", EnvSpec("Camera-v0", gymnasium.Env, max_episode_steps=5))
    words = ("--use", "environment=gymnasium", "-o", "environment.id=Camera-v0", "-o", "environment.flatten=false")
    shown = esper("policy", "show", "nature-cnn", *words).stdout
    assert "  observation    image, uint8 [12, 10, 3]\n  network input  7680 numbers\n" in shown
    shown = esper("policy", "show", "lstm-v2", "--slots", "5").stdout
    assert "  observation    181 numbers\n                 5 categories\n  network input  201 numbers\n" in shown


def test_components_of_one_kind(esper):
    rows = {row["name"]: row for row in json.loads(esper("plugins", "list", "--kind", "workload", "--json").stdout)}
    assert set(rows) >= {"digits", "conv-small"} and rows["digits"]["distribution"] == "esper-growth"
    done = esper("plugins", "list", "--kind", "workloda")
    assert done.returncode == 2 and "Did you mean 'workload'?" in done.stderr


def test_registry_check(esper, tmp_path):
    assert "esper works without one" in esper("registry", "check").stdout
    (tmp_path / "registry.toml").write_text('schema = 1\n\n[policy.mine]\nnetwork = "lstm-v3"\n')
    done = esper("registry", "check")
    assert done.returncode == 2 and done.stdout == ""
    assert "registry.toml:4:" in done.stderr and "Did you mean 'lstm-v2'?" in done.stderr
