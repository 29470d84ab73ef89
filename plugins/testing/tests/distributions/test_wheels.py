"""What is installed from wheels, outside of the checkout and with nothing at home, does all that it should."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from esper_core.registry.loading import load_index
from esper_testing.scaffold.template import COMMANDS, load_template
from plugins.testing.tests.distributions.conftest import House, MakeHouse

SMALL = ("-o", "network.hidden_dim=8", "--envs", "2", "--epochs", "6")
MINIMAL = [
    "esper-core",
    *(f"esper-{name}" for name in ("obs-v3", "lstm-v2", "op-conditioned-critic", "factored-ppo", "growth")),
]

pytestmark = pytest.mark.slow


def test_templates_travel_in_the_wheels_of_whoever_declares_the_kinds(wheels: Path) -> None:
    held = {name for wheel in wheels.glob("*.whl") for name in zipfile.ZipFile(wheel).namelist()}
    kinds = [*load_index().kinds.values(), COMMANDS]
    assert len(kinds) >= 14
    for kind in kinds:
        folder = kind.template.replace(".", "/").replace(":", "/")
        files = {f"{folder}/{path}" for path in load_template(kind).files if path != ".gitignore"}
        assert files <= held, files - held
    assert {"esper_testing/templates/common/.gitignore", "esper_growth/fused/kernels.cpp"} <= held


def train(home: House, seed: int = 0) -> str:
    """Train a policy and return the name of its run."""
    words = ("--policy", "lstm-v2", "--slots", "2", "--updates", "1", *SMALL, "--seed", str(seed), "--json")
    return Path(json.loads(home.run("esper", "train", *words).stdout)["run"]).name


def test_everything_works_from_wheels(house: MakeHouse) -> None:
    home = house()
    assert not json.loads(home.run("esper", "plugins", "doctor", "--json").stdout)["findings"]
    run = train(home)
    home.run("esper", "evaluate", run, "--instances", "2", "--search-episodes", "2")
    home.run("esper", "report", run)
    home.run("esper", "export", run, "--out", "grown.py")
    home.run("python", "-c", "import grown; grown.load()")
    home.run("esper", "runs", "compare", run, train(home, seed=1))
    for name, kind in (("acme-net", "network"), ("acme-count", "command")):
        home.run("esper", "plugins", "new", name, "--kind", kind)
        home.run("python", "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--no-build-isolation", f"./{name}")
        checked = json.loads(home.run("esper", "plugins", "check", name, "--json").stdout)
        assert checked["verdict"] == "GREEN", checked
    assert {path.name for path in (home.folder / "home").iterdir()} <= {".cache", ".config"}


def test_the_smallest_set_trains_and_says_what_more_there_is(house: MakeHouse) -> None:
    home = house(*MINIMAL)
    run = train(home)
    home.run("esper", "train", "--resume", run, "--updates", "2")
    assert run in home.run("esper", "runs", "list").stdout
    assert "lstm-v2 with 2 slots" in home.run("esper", "policy", "show", "lstm-v2", "--slots", "2").stdout
    for words, distribution in (
        (("evaluate", run), "esper-evaluation"),
        (("runs", "compare", "a", "b"), "esper-evaluation"),
        (("bench", "digits"), "esper-bench"),
        (("spike", "list"), "esper-testing"),
        (("plugins", "check", "growth"), "esper-testing"),
    ):
        said = home.run("esper", *words, status=2).stderr
        assert f"belongs to {distribution}, which is not installed." in said
        assert f"pip install {distribution}" in said
    listed = home.run("esper", "plugins", "list").stdout
    for kind, distribution in (("rule", "esper-evaluation"), ("workload", "esper-bench")):
        assert listed.count(f"the kind '{kind}' belongs to {distribution}") == 1
    diagnosis = json.loads(home.run("esper", "plugins", "doctor", "--json").stdout)
    assert diagnosis["healthy"] and {finding["level"] for finding in diagnosis["findings"]} == {"note"}
