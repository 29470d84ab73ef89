"""registry.toml: where it is found, what it may say, and on which line it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from esper_core.composition.config import Option
from esper_core.composition.recipes import Recipes, find_registry, load_recipes
from esper_core.contracts.errors import RegistryFileError
from esper_core.diagnosis.check import check_recipes
from esper_core.registry.index import Index

GOOD = """\
schema = 1
[defaults]
policy = "mine"
slots = 3
environment = "toy"

[policy.mine]                # a comment = here
network  = "small_net"
critic   = "picky"

[policy.mine.options]
critic.whole = 16
"gadget".little.size = 7
train.lr = 0.01

[policy."other_one"]
network = "plain-net"
critic = "simple"
[plugins]
disabled = ["x"]
[resolve]
"network/small_net" = "toy_world"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ESPER_REGISTRY", raising=False)
    return tmp_path


def read(folder: Path, text: str) -> Recipes:
    (folder / "registry.toml").write_text(text)
    return load_recipes(folder / "registry.toml")


def test_everything_a_file_may_say(folder: Path) -> None:
    recipes = read(folder, GOOD)
    assert (recipes.settings, recipes.defaults) == ({"policy": "mine", "slots": "3"}, {"environment": "toy"})
    assert (recipes.disabled, recipes.pins) == (("x",), {"network/small-net": "toy_world"})
    mine = recipes.policies["mine"]
    assert mine.uses == {"network": "small_net", "critic": "picky"}
    assert mine.options == (
        Option("critic", None, "whole", 16),
        Option("gadget", None, "little", {"size": 7}),
        Option("train", None, "lr", 0.01),
    )
    assert set(recipes.policies) == {"mine", "other-one"}
    assert read(folder, 'schema = 1\ndefaults.slots = "r0c0,r0c1"').settings["slots"] == "r0c0,r0c1"
    assert load_recipes(None) == Recipes()


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "'schema' is missing"),
        ("\nschema = 2", 2, "schema 2 is not supported"),
        ("schema = 1\nx = = 2", 2, "this is not TOML"),
        ('schema = 1\n\nplugin = "x"', 3, "there is no 'plugin'. Did you mean 'plugins'?"),
        (
            "schema = 1\n[plugins]\n# note\ndisable = []",
            4,
            "there is no 'disable' in [plugins]. Did you mean 'disabled'",
        ),
        ("schema = 1\n[plugins]\ndisabled = 'x'", 3, "'disabled' must be a list of names"),
        ("schema = 1\n[defaults]\nenvs = '8'", 3, "'envs' must be a whole number, not '8'"),
        ("schema = 1\n[policy.x]\n\nnetwork = ''", 4, "'network' must be a name in quotes, not ''"),
        ("schema = 1\n[policy.x]\noptions = 5", 3, "'policy.x.options' must be a table"),
        ("schema = 1\n[policy.x.options]\nlr = 5", 3, "'lr' must be followed by an option"),
        ("schema = 1\n[policy.a_b]\n[policy.a-b]", 3, "there is another policy 'a-b'"),
        ("schema = 1\n[resolve]\nnetwork = 'x'", 3, "'network' does not read kind/name"),
    ],
)
def test_a_wrong_file_is_told_its_line(folder: Path, text: str, line: int, message: str) -> None:
    with pytest.raises(RegistryFileError) as caught:
        read(folder, text)
    assert caught.value.message.startswith(f"registry.toml:{line}: ")
    assert message in caught.value.message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ('"toy"', '"toi"', 5, "No environment named 'toi'. Did you mean 'toy'?"),
        ("environment =", "enviroment =", 5, "There is no kind 'enviroment'. Did you mean 'environment'?"),
        ('policy = "mine"', 'policy = "mien"', 3, "No policy named 'mien'. Did you mean 'mine'?"),
        ("critic.whole = 16", "critik.whole = 100", 12, "there is no kind 'critik'"),
        ('"gadget".little', '"gadget".litle', 13, "the plan has no gadget 'litle'"),
        ('"gadget".little.size', "gadget.size", 13, "'gadget.size' could mean any of small-one"),
        ('"simple"', '"picky"', 16, "policy 'other-one' makes no plan: critic 'picky'"),
        ('"toy_world"', '"toi_world"', 22, "You asked for network 'small-net' from 'toi-world'"),
    ],
)
def test_the_check_finds_names_that_mean_nothing(
    folder: Path, index: Index, old: str, new: str, line: int, message: str
) -> None:
    assert GOOD.count(old) == 1
    found = check_recipes(read(folder, GOOD.replace(old, new)), index)
    assert any(e.message.startswith(f"registry.toml:{line}: ") and message in e.message for e in found), found


def test_bytes(folder: Path) -> None:
    (folder / "registry.toml").write_bytes(b"schema = 1\n# \xff\n")
    with pytest.raises(RegistryFileError, match=r"^registry\.toml:2: this is not UTF-8"):
        load_recipes(folder / "registry.toml")
    (folder / "registry.toml").write_bytes(b"\xef\xbb\xbfschema = 1\n")
    assert load_recipes(folder / "registry.toml").policies == {}


def test_where_the_file_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("registry.toml", "variable.toml", "flag.toml", "a/registry.toml", "a/b/c"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("schema = 1")
    monkeypatch.chdir(folder / "a/b")
    assert find_registry() == folder / "a/registry.toml", "the nearest one upward"
    monkeypatch.setenv("ESPER_REGISTRY", "../../variable.toml")
    assert find_registry() == Path("../../variable.toml")
    assert find_registry("../../flag.toml") == Path("../../flag.toml")
    monkeypatch.setenv("ESPER_REGISTRY", "lost.toml")
    with pytest.raises(RegistryFileError, match=r"^lost\.toml: there is no such file, but ESPER_REGISTRY names it"):
        find_registry()


def test_the_check_reports_every_mistake_once_and_in_order(folder: Path, index: Index) -> None:
    assert check_recipes(read(folder, GOOD), index) == (), "a disabled plugin need not be installed"
    text = GOOD.replace('"toy"', '"toi"').replace('"picky"', '"piky"')
    lines = [int(error.message.split(":")[1]) for error in check_recipes(read(folder, text), index)]
    assert lines == [5, 9]
