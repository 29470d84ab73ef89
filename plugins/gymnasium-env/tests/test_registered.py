"""Which environments are found, and that nothing is imported because a plan names it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from esper_core.composition.build import build_parts
from esper_core.composition.plan import Plan, PlanRequest, make_plan
from esper_core.contracts.errors import UserError
from esper_core.registry.loading import load_index
from esper_gymnasium_env.registered import find

REGISTERS = """
    import gymnasium
    def register():
        gymnasium.register("{id}", "gymnasium.envs.classic_control:CartPoleEnv", max_episode_steps=5)
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path, whose modules are forgotten afterwards."""
    loaded = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in set(sys.modules) - loaded:
        del sys.modules[name]


def install(site: Path, **points: tuple[str, str]) -> None:
    """Install a distribution with entry points: name → (value, source of its module, which is called as it is)."""
    info = site / "worlds-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: worlds\nVersion: 1.0\n")
    lines = [f"{name} = {value}" for name, (value, _) in points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[gymnasium.envs]", *lines]))
    for value, source in points.values():
        (site / f"{value.partition(':')[0]}.py").write_text(dedent(source))


def test_installed_distributions_register_by_a_function_or_by_being_imported(site: Path) -> None:
    by_import = REGISTERS.format(id="Imported-v0") + "\n    register()\n"
    install(
        site,
        called=("called_worlds:register", REGISTERS.format(id="ours/Called-v0")),
        imported=("imported_worlds", by_import),
    )
    assert find("CartPole-v1").id == "CartPole-v1"
    assert "called_worlds" not in sys.modules, "what Gymnasium has itself needs nobody else's code"
    assert {find(name).max_episode_steps for name in ("ours/Called-v0", "Imported-v0")} == {5}


def test_one_that_fails_is_named_and_hinders_no_other(site: Path) -> None:
    install(
        site,
        broken=("broken_worlds", "    raise RuntimeError('no licence')"),
        fine=("fine_worlds:register", REGISTERS.format(id="Fine-v0")),
        leaving=("leaving_worlds", "    raise SystemExit(0)"),
    )
    with pytest.raises(UserError, match="Did you mean 'Fine-v0'") as caught:
        find("Fines-v0")
    for name, error in (("broken", "RuntimeError: no licence"), ("leaving", "SystemExit: 0")):
        assert f"{name} = {name}_worlds failed while registering environments: {error}." in caught.value.hint
    assert find("Fine-v0").id == "Fine-v0"


def test_a_module_that_a_plan_names_is_not_imported(site: Path) -> None:
    (site / "named_worlds.py").write_text(dedent(REGISTERS.format(id="Named-v0") + "\n    register()\n"))
    index, named = load_index(), "named_worlds:Named-v0"
    request = PlanRequest(policy="lstm-v1", environment="gymnasium", envs=2)
    with pytest.raises(UserError, match=f"registered as '{named}'"):
        make_plan(PlanRequest(policy="lstm-v1", environment="gymnasium", options=(f'environment.id="{named}"',)), index)
    saved = json.dumps(make_plan(request, index).to_json()).replace("CartPole-v1", named)
    with pytest.raises(UserError, match=f"registered as '{named}'"):
        build_parts(Plan.from_json(json.loads(saved)), index)
    assert "named_worlds" not in sys.modules
    # What stands after the colon may well exist: it is then what was meant.
    with pytest.raises(UserError, match="Did you mean 'CartPole-v1'"):
        find("named_worlds:CartPole-v1")
